"""Plug-ins whose code raises end a command in one line that names them and the place."""

import sys
from collections.abc import Iterator
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

import pytest

from fama import cli
from fama.diagnosis.detectors.base import DETECTORS
from fama.envs.base import BENCHMARKS
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.helpers.base import HELPERS
from fama.mining.search.base import SEARCHES
from fama.registry import Registry, plug_ins_named
from fama.selection.base import SELECTORS
from fama.text.clean import clean

CODE = """
from types import SimpleNamespace

def calling(inner, *values):
    return inner(*values)

def boom(*values, **options):
    raise KeyError("no such\\nthing")

async def later(*values, **options):
    boom()

def imported(path, **options):
    yield open(path / "there is none")

def helper(form="template", **options):
    return SimpleNamespace(name="broken", covers=frozenset({"IFU"}), token_cap=9, cost_cap=0, note=later)
"""
FAMILIES: tuple[tuple[Registry[Any], str], ...] = (
    (HELPERS, "helper"),
    (SELECTORS, "boom"),
    (IMPORTERS, "imported"),
    (SEARCHES, "later"),
    (BENCHMARKS, "boom"),
)
RUN = ("run", "model.name=scripted:echo", "domain=shop", "split=train", "tasks=1", "helpers.reading=patterns")


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of plug-ins, each called ``broken``; yields its file."""
    path = tmp_path / "broken_plug_ins.py"
    path.write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    for registry, attribute in FAMILIES:
        registry.add("broken", f"broken_plug_ins:{attribute}")
    yield path
    for registry, _ in FAMILIES:
        registry.remove("broken")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain")
    assert cli.main([*RUN, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("family", "arguments", "words"),
    [
        ("selectors", [*RUN, "selector.name=broken"], "(KeyError: 'no such"),
        ("benchmarks", [*RUN, "benchmark=broken"], "(KeyError: 'no such"),
        ("importers", ["import", "broken", "PLAIN/episodes.jsonl"], "(NotADirectoryError: "),
        ("helpers", ["mine", "PLAIN", "helpers={pool: [broken], reading: patterns}"], "(KeyError: 'no such"),
        ("search", ["mine", "PLAIN", "search=broken", "helpers.reading=patterns"], "(KeyError: 'no such"),
    ],
)
def test_a_plug_in_that_raises_is_named_in_one_line(
    family: str, arguments: list[str], words: str, broken: Path, plain: Path, tmp_path: Path, capsys: Any
) -> None:
    given = [one.replace("PLAIN", str(plain)) for one in arguments]
    out = tmp_path / "out"
    assert cli.main([*given, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(f"fama: {family}: 'broken' ({broken}:"), told
    assert words in told and "FAMA_TRACEBACK=1 shows the traceback" in told
    assert not list(out.glob("*.jsonl")), "nothing half-written"


def test_a_helper_that_raises_ends_its_episode_in_one_line(
    broken: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cli.main([*RUN, "helpers.pool=[broken]", "selector.name=all", "--out", str(tmp_path / "out")]) == 1
    (told,) = caplog.records
    assert told.getMessage().startswith(f"task shop-train-0000: helpers: 'broken' ({broken}:") and not told.exc_info
    (episode,) = read_episodes(tmp_path / "out")
    assert episode.outcome.boundary == "harness" and episode.outcome.reason.startswith("KeyError: 'no such")


def test_a_detector_that_raises_is_named_with_the_episode(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def detect(trace: object) -> None:
        raise ZeroDivisionError

    DETECTORS.add("broken", detect)  # type: ignore[arg-type]
    monkeypatch.setenv("FAMA_TRACEBACK", "1")
    try:
        assert cli.main(["diagnose", str(plain), "--judge", "none", "--out", str(tmp_path / "out")]) == 2
    finally:
        DETECTORS.remove("broken")
    told = capsys.readouterr().err
    assert f"detectors: 'broken' ({__file__}:" in told and "on task shop-train-0000" in told
    assert "Traceback (most recent call last)" in caplog.text and "ZeroDivisionError" in caplog.text


def test_an_error_of_no_plug_in_stays_what_it_is() -> None:
    registry: Registry[Any] = Registry("things", {})
    registry.add("partial", partial(int, base=7))  # of a module that is no plug-in's
    with pytest.raises(ValueError, match="invalid literal"), plug_ins_named():
        singledispatch(int)("x")
    with pytest.raises(BadInput, match="^as it is$"), plug_ins_named():
        raise BadInput("as it is")
    registry.remove("partial")


def test_code_of_this_package_that_raises_beneath_a_plug_in_is_named_too(broken: Path) -> None:
    SEARCHES.load("broken")
    told = rf"^search: 'broken' \({broken}:5, in its call of {Path(clean.__code__.co_filename)}:\d+\): "
    with pytest.raises(BadInput, match=told), plug_ins_named():
        sys.modules[broken.stem].calling(clean, 5)


def test_an_extra_that_is_not_installed_is_no_fault_of_a_plug_in(broken: Path) -> None:
    """The command then says how to install it."""

    def needs_torch() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    SEARCHES.load("broken")
    with pytest.raises(ModuleNotFoundError), plug_ins_named():
        sys.modules[broken.stem].calling(needs_torch)
