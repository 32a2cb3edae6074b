from pathlib import Path

import pytest

from fama.errors import BadInput
from fama.helpers.base import HELPERS
from fama.helpers.pool import build_pool
from fama.settings import HelperSettings
from fama.subsets import POOL

YAML = "name: Tone\ncovers: [CM]\ntoken_cap: 20\nprompt: 'Say one thing about {{ dialogue | length }} lines.'\n"


def test_builds_the_six_in_order_without_cost() -> None:
    pool = build_pool(HelperSettings())
    assert tuple(pool) == POOL
    assert all(helper.cost_cap == 0 and helper.token_cap > 0 and helper.covers for helper in pool.values())


def test_forms_and_options_reach_single_helpers() -> None:
    pool = build_pool(HelperSettings(pool=("TSA", "Memory"), forms={"Memory": "llm"}, options={"Memory": {"k": 6}}))
    assert (pool["TSA"].cost_cap, pool["Memory"].cost_cap > 0) == (0, True)


def test_a_yaml_path_is_a_helper(tmp_path: Path) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text(YAML)
    pool = build_pool(HelperSettings(pool=("TSA", str(file))))
    assert list(pool) == ["TSA", "Tone"]
    assert pool["Tone"].covers == frozenset({"CM"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (HelperSettings(pool=("TSA", "Oracle")), "unknown helper 'Oracle'; known: .*DCE, Memory, Planner"),
        (HelperSettings(pool=("TSA", "TSA")), "listed twice"),
        (HelperSettings(options={"TSA": {"k": 2}}), "no option 'k'"),
        (HelperSettings(pool=("TSA",), options={"Memory": {"k": 2}}), "'Memory' is not in the pool"),
        (HelperSettings(pool=("TSA",), forms={"Memory": "llm"}), "'Memory' is not in the pool"),
        (HelperSettings(pool=("none.yaml",)), "No such file"),
    ],
)
def test_bad_pools_say_what_to_mend(settings: HelperSettings, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_pool(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not YAML"),
        ("- a", "holds a list, not keys and values; see the helper in CONTRIBUTING.md"),
        (YAML + "colour: red\n", "colour: .*the keys are name, reviewed"),
        ("name: Tone\n", "prompt: "),
        (YAML + 'does: "sets the tone\\nand more"\n', "does"),
        (YAML.replace("20", "0"), "token_cap"),
        (YAML.replace("Tone", "'a b'"), "name"),
        (YAML.replace("dialogue", "gold"), "prompt: 'gold' is undefined"),
        (YAML.replace("{{ dialogue | length }}", "{{ dialogue.__class__.__mro__ }}"), "prompt: "),
        (YAML.replace("{{ dialogue | length }}", "{% if %}"), "prompt: "),
        (
            YAML.replace("{{ dialogue | length }}", "{% for tool in tools %}{{ tool.parameters }}{% endfor %}"),
            "prompt: .*no attribute 'parameters'",
        ),
    ],
)
def test_bad_yaml_helpers_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        build_pool(HelperSettings(pool=(str(file),)))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_helper_has_the_name_that_it_is_registered_under() -> None:
    """Else the pool of the config and the names in episodes and tables differ."""
    HELPERS.add("Mine", lambda form="template", **options: HELPERS.load("TSA")(form, **options))
    try:
        with pytest.raises(BadInput, match="helpers.pool: 'Mine' makes a helper called 'TSA'; give both one name"):
            build_pool(HelperSettings(pool=("Mine",)))
    finally:
        HELPERS.remove("Mine")


def test_a_yaml_helper_has_no_template_form(tmp_path: Path) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text(YAML)
    with pytest.raises(BadInput, match="set its form to llm"):
        build_pool(HelperSettings(pool=(str(file),), forms={str(file): "template"}))
