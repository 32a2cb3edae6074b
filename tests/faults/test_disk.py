"""Full disks, read-only folders, two processes at once, clocks that jump, damaged lines, changed configs.

Each ends in one line that names the file, with exit code 1 (the work failed) or 2 (bad input); what was there stays.
"""

import asyncio
import errno
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic
import pytest

import fama
from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.cli import main
from fama.episodes.outcome_table import read_outcomes
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput
from fama.settings import RunSettings, SelectorSettings
from tests.support.toy_world import base, toy_world

TOY = ("benchmark=toy", "domain=d", "demonstrations=0", "helpers.pool=[Alpha, Beta]", "model.name=scripted:toy")
RUN = ("run", *TOY, "split=train", "tasks=8", "selector.name=all")
OUTCOMES = ("outcomes", *TOY, "split=train", "tasks=4", "per_task=2", "subsets=[[], [Alpha]]")
COMPARE = ("compare", *TOY, "split=test", "tasks=2", "bootstrap=100", 'arms=[{"name": "none"}, {"name": "all"}]')


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def key(episode: Episode) -> tuple[Any, ...]:
    """An episode without its times."""
    notes = [[note.text for note in decision.notes] for decision in episode.decisions]
    tokens = [(row.role, row.total_tokens) for row in episode.ledger]
    return (episode.id, episode.task_id, episode.outcome, episode.reward, str(notes), str(tokens), episode.messages)


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the write that would is cut short, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fama: ")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


def test_a_full_disk_keeps_whole_episodes_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--out", str(tmp_path / "whole")]) == 0
    expected = {key(episode) for episode in read_episodes(tmp_path / "whole")}
    line = (tmp_path / "whole" / "episodes.jsonl").stat().st_size // 8
    capsys.readouterr()
    for number, size in enumerate((4 * line - 1, 5 * line + 7, 6 * line + line // 2)):
        out = tmp_path / str(number)
        with small_disk(size):
            assert main([*RUN, "--out", str(out)]) == 1
        one_line(capsys, str(out / "episodes.jsonl"), "File too large", "what was finished is kept")
        raw = (out / "episodes.jsonl").read_bytes()
        assert raw.endswith(b"}\n") and 3 <= raw.count(b"\n") <= 7  # nothing torn is left behind
        assert main([*RUN, "--out", str(out)]) == 0
        assert {key(episode) for episode in read_episodes(out)} == expected


def test_an_import_that_does_not_fit_leaves_the_store_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [{"role": "user", "content": "Hello " * 50}, {"role": "assistant", "content": "Bye."}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"id": f"t{i}", "messages": messages}) + "\n" for i in range(40)))
    out = tmp_path / "out"
    command = ["import", "openai", str(log), "--out", str(out), "--benchmark", "b", "--domain", "d"]
    assert main([*command[:2], str(_first(log)), *command[3:]]) == 0
    before = contents(out)
    size = len(before["episodes.jsonl"])
    for more in (10, 5000):  # within the first new line, and after some whole ones
        with small_disk(size + more):
            assert main(command) == 1
        assert contents(out) == before
    capsys.readouterr()
    assert main(command) == 0
    assert len(EpisodeStore(out).ids()) == 1 + 40


def _first(log: Path) -> Path:
    path = log.with_name("first.jsonl")
    path.write_text(log.read_text().splitlines()[0] + "\n")
    return path


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("command", [RUN, OUTCOMES, COMPARE], ids=["run", "outcomes", "compare"])
def test_no_space_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str, command: Any
) -> None:
    """The n-th sync or rename of a command fails, for every n: one line, exit code 1, and then the command goes on."""
    real, counted = getattr(os, call), [0]

    def counting(*args: Any) -> Any:
        counted[0] += 1
        return real(*args)

    monkeypatch.setattr(os, call, counting)
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    expected = {key(episode) for episode in read_episodes(tmp_path / "whole")}
    for fatal in range(1, counted[0] + 1, 1 if call == "replace" else 4):
        out, calls = tmp_path / str(fatal), [0]

        def failing(*args: Any, calls: list[int] = calls, fatal: int = fatal) -> Any:
            calls[0] += 1
            if calls[0] >= fatal:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)

        capsys.readouterr()
        monkeypatch.setattr(os, call, failing)
        assert main([*command, "--out", str(out)]) == 1
        one_line(capsys, "No space left on device")
        assert not [path for path in out.glob(".*") if ".tmp-" in path.name]
        monkeypatch.setattr(os, call, real)
        assert main([*command, "--out", str(out)]) == 0
        assert {key(episode) for episode in read_episodes(out)} == expected


def _nobody_enters() -> str | None:
    """A folder of code that user 65534 may not enter; None where that user reads fama and what it imports."""
    os.seteuid(65534)
    try:
        for module in (fama.__file__, pydantic.__file__):
            try:
                Path(str(module)).read_bytes()
            except PermissionError:
                return str(Path(str(module)).parent)
    finally:
        os.seteuid(0)
    return None


@pytest.fixture
def code_is_open() -> None:
    """Skip where an administrator's code lies behind a closed folder: nobody could not load what a command reads."""
    if os.geteuid() == 0 and (closed := _nobody_enters()):
        pytest.skip(f"another user may not read {closed}: open the folders above it (chmod o+x) or run as that user")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write there; an administrator, who always may, is somebody else for the length of the block."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize("command", [RUN, OUTCOMES, COMPARE], ids=["run", "outcomes", "compare"])
@pytest.mark.usefixtures("code_is_open")
def test_a_read_only_folder(capsys: pytest.CaptureFixture[str], command: Any) -> None:
    place = Path(tempfile.mkdtemp())  # not under tmp_path, which only its owner may enter
    place.chmod(0o755)
    try:
        out = place / "out"
        assert main([*command, "--out", str(out)]) == 0  # what a command loads is loaded
        shutil.rmtree(out)
        out.mkdir()
        capsys.readouterr()
        with read_only(out):
            assert main([*command, "--out", str(out)]) == 1
        one_line(capsys, str(out), "Permission denied")
        assert contents(out) == {}
        assert main([*command, "--out", str(out)]) == 0
        before = contents(out)
        capsys.readouterr()
        with read_only(out):
            assert main([*command, "trials=2", "--out", str(out)]) in (1, 2)
            assert main(["score", str(out)]) == 0  # reading needs no right to write
        assert contents(out) == before
    finally:
        shutil.rmtree(place)


def test_a_second_process_is_told_to_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EpisodeStore(tmp_path).alone(0):
        for command in (RUN, OUTCOMES, COMPARE):
            assert main([*command, "--out", str(tmp_path)]) == 2
            one_line(capsys, str(tmp_path), "another process is running in this folder")
    assert not (tmp_path / "episodes.jsonl").exists() and not (tmp_path / "outcomes.parquet").exists()
    assert main([*RUN, "--out", str(tmp_path)]) == 0


async def test_of_two_runs_at_once_one_works(tmp_path: Path) -> None:
    settings = RunSettings.model_validate(base(split="train", tasks=10))
    plan = [Planned(f"t{task}", trial, SelectorSettings()) for trial in range(3) for task in range(10)]
    ends = await asyncio.gather(
        *(run_planned(settings, plan, tmp_path, progress=False) for _ in range(4)), return_exceptions=True
    )
    refused = [end for end in ends if isinstance(end, BadInput)]
    assert len(refused) == 3 and all("process" in str(end) for end in refused)
    found = [episode.id for episode in read_episodes(tmp_path)]
    assert len(found) == len(set(found)) == 30


def test_clocks_that_jump_change_nothing_but_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*RUN, "--out", str(tmp_path / "steady")]) == 0
    real, calls = time.time, [0]

    def jumping() -> float:
        calls[0] += 1
        return real() + (86_400.0 * 365 if calls[0] % 2 else -86_400.0 * 365)

    monkeypatch.setattr(time, "time", jumping)
    assert main([*RUN, "--out", str(tmp_path / "jumping")]) == 0
    steady, jumped = (list(map(key, read_episodes(tmp_path / name))) for name in ("steady", "jumping"))
    assert steady == jumped
    assert all(0 <= (episode.seconds or 0) < 60 for episode in read_episodes(tmp_path / "jumping"))


def test_a_damaged_line_in_the_middle_stops_every_command_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``fama diagnose`` has labelled what stood before the line, in another folder; it goes on from there."""
    labels, tmp_path = tmp_path / "labels", tmp_path / "run"
    assert main([*COMPARE, "--out", str(tmp_path)]) == 0
    path = tmp_path / "episodes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = {
        "cut": lines[1][:90] + b"\n",
        "zeros": b"\0" * 512 + b"\n",
        "bits": lines[1].replace(b'"trial":0', b'"trial":"\xff\xfe"'),
        "merged": lines[1].rstrip(b"\n")[:200] + lines[1],
    }
    readers = [["score"], ["show", "--limit", "9"], ["report"], ["annotate"], ["diagnose", "--out", str(labels)]]
    readers.append(["export", "--to", "inspect", "--out", str(tmp_path)])
    for what, line in damaged.items():
        path.write_bytes(b"".join([lines[0], line, *lines[2:]]))
        before = contents(tmp_path)
        for command in ([*RUN, "--out"], [*OUTCOMES, "--out"], [*COMPARE, "--out"], *readers):
            capsys.readouterr()
            name, *rest = command
            arguments = [*command, str(tmp_path)] if rest and rest[-1] == "--out" else [name, str(tmp_path), *rest]
            code = main(arguments)
            assert code == 2, (what, arguments)
            changed = name in ("run", "outcomes")  # which ran with other settings: refused for that already
            one_line(capsys, "config.json" if changed else "episodes.jsonl:2: ")
            assert contents(tmp_path) == before, (what, name)


@pytest.mark.parametrize("command", [RUN, OUTCOMES, COMPARE], ids=["run", "outcomes", "compare"])
def test_a_changed_config_is_refused_and_nothing_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Any
) -> None:
    assert main([*command, "--out", str(tmp_path)]) == 0
    before = contents(tmp_path)
    for changed in ("seed=1", "strategy=react", "model.temperature=0.5", "limits.steps=3", "budget.run=999"):
        capsys.readouterr()
        assert main([*command, changed, "--out", str(tmp_path)]) == 2
        one_line(capsys, str(tmp_path), "set it back or give another folder")
        assert contents(tmp_path) == before
    if command is OUTCOMES:
        assert len(read_outcomes(tmp_path / "outcomes.parquet")) == 8
