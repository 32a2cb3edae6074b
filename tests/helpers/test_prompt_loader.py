import pytest
from jinja2 import TemplateError, UndefinedError

from fama.errors import BadInput
from fama.prompts import prompt_hash, render, render_text, template_names
from fama.subsets import POOL

VALUES = {"policy": "P", "tools": [{"name": "a", "description": "b"}], "dialogue": ["user: x"], "noted": [], "k": 2}


def test_every_helper_has_a_versioned_prompt() -> None:
    names = template_names()
    for helper in POOL:
        assert f"helpers/{helper.lower()}.v1" in names
        text = render(f"helpers/{helper.lower()}.v1", **VALUES)
        assert "user: x" in text
        assert "{{" not in text


def test_hashes_tell_prompts_apart_and_are_stable() -> None:
    hashes = {prompt_hash(f"helpers/{helper.lower()}.v1") for helper in POOL}
    assert len(hashes) == len(POOL)
    assert prompt_hash("helpers/dce.v1") == prompt_hash("helpers/dce.v1")


def test_unknown_prompts_list_the_known_ones() -> None:
    for name in ("helpers/dce.v0", "../cli", "/etc/passwd"):
        with pytest.raises(BadInput, match="known: .*helpers/dce.v1"):
            render(name)
        with pytest.raises(BadInput, match="unknown prompt"):
            prompt_hash(name)


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("helpers/dce.v1", policy="P")


def test_values_are_not_templates_and_the_sandbox_holds() -> None:
    assert render_text("{{ x }}", x="{{ 7 * 7 }}") == "{{ 7 * 7 }}"
    with pytest.raises(TemplateError):
        render_text("{{ x.__class__.__mro__ }}", x="a")
