"""Registries: names load on use; duplicates and unknown names fail and list the known ones."""

import json
from importlib.metadata import EntryPoint

import pytest

import fama.registry
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


def test_a_broken_plug_in_is_told_in_one_line_and_left_out_of_the_list(caplog: pytest.LogCaptureFixture) -> None:
    registry: Registry[object] = Registry(
        "things", {"good": "json:dumps", "gone": "no_such_module:x", "bad": "json:no"}
    )
    for name in ("gone", "bad"):
        with pytest.raises(BadInput, match=rf"things: '{name}' .* cannot be loaded .*; fix or uninstall its package"):
            registry.load(name)
    assert registry.loadable() == {"good": json.dumps}
    assert "'gone'" in caplog.text and "'bad'" in caplog.text


def installed(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(fama.registry, "_entry_points", lambda: points)


def test_an_entry_point_with_a_taken_name_is_told_even_where_only_that_name_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(
        monkeypatch, EntryPoint("dumps", "mine:dumps", "fama.things"), EntryPoint("x", "json:loads", "fama.things")
    )
    registry: Registry[object] = Registry("things", {"dumps": "json:dumps"})
    assert registry.load("dumps") is json.dumps
    assert "things: the entry point 'dumps' (mine:dumps) has a taken name and is left out; rename it" in caplog.text
    assert registry.load("x") is json.loads


def test_one_plug_in_that_is_installed_twice_is_no_clash(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, *[EntryPoint("x", "json:loads", "fama.things")] * 2)
    assert Registry("things", {}).load("x") is json.loads
    assert not caplog.text


def test_a_name_in_another_group_is_pointed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, EntryPoint("mine", "json:loads", "fama.environments"))
    with pytest.raises(
        BadInput, match=r"known: a; an entry point of .* in the group fama.environments, not fama.bench"
    ):
        Registry("benchmarks", {"a": "json:dumps"}).load("mine")


def test_entry_points_of_this_installation_are_read() -> None:
    assert all(point.group.startswith("fama.") for point in fama.registry._entry_points())
