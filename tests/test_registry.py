"""Registries: names load on use; duplicates and unknown names fail and list the known ones."""

import json

import pytest

from fama.errors import BadInput
from fama.registry import Registry


def test_loads_on_use_and_remembers() -> None:
    registry: Registry[object] = Registry("things", {"dumps": "json:dumps"})
    assert registry.load("dumps") is json.dumps
    assert registry.names() == ["dumps"]


def test_unknown_name_lists_the_known() -> None:
    registry: Registry[object] = Registry("helpers", {"b": "json:loads", "a": "json:dumps"})
    with pytest.raises(BadInput, match=r"unknown helper 'c'; known: a, b"):
        registry.load("c")


def test_duplicates_fail_and_removal_frees_the_name() -> None:
    registry: Registry[object] = Registry("things", {"a": "json:dumps"})
    with pytest.raises(BadInput, match="registered twice"):
        registry.add("a", "json:loads")
    registry.add("b", str)
    assert registry.load("b") is str
    registry.remove("b")
    registry.add("b", "json:loads")
    assert registry.load("b") is json.loads


PLUG_INS = {"good": "json:dumps", "gone": "no_such_module:x", "bad": "json:no"}


def test_a_broken_plug_in_is_told_in_one_line_and_left_out_of_the_list(caplog: pytest.LogCaptureFixture) -> None:
    registry: Registry[object] = Registry(
        "things", {"good": "json:dumps", "gone": "no_such_module:x", "bad": "json:no"}
    )
    for name in ("gone", "bad"):
        with pytest.raises(BadInput, match=rf"things: '{name}' .* cannot be loaded .*; fix or uninstall its package"):
            registry.load(name)
    assert registry.loadable() == {"good": json.dumps}
    assert "'gone'" in caplog.text and "'bad'" in caplog.text
