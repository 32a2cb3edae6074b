"""The command line: quick help, one-line errors with their exit codes, an import that does nothing."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fama import cli
from fama.episodes.store import EpisodeStore
from tests.support.failed_episodes import failed

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("torch", "transformers", "pandas", "numpy", "openai", "xllamacpp", "duckdb", "lightning", "wandb", "sklearn"),
    *("matplotlib", "scipy", "pyarrow", "ray", "vllm", "aiohttp", "httpx"),
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("arguments", [("-m", "fama", "--help"), ("-c", "import fama")])
def test_help_and_import_are_quick(arguments: tuple[str, ...]) -> None:
    """In seconds of CPU, which other work on the machine does not lengthen."""
    seconds = []
    for _ in range(3):
        before = _seconds_of_children()
        assert python(*arguments).returncode == 0
        seconds.append(_seconds_of_children() - before)
    assert 0 < min(seconds) < 0.5


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_import_loads_nothing_heavy_opens_no_socket_and_reads_no_key() -> None:
    code = (
        "import os, socket, sys\n"
        "os.environ.clear()\n"
        "def closed(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = closed\n"
        "import fama, fama.cli, fama.settings, fama.helpers.base, fama.selection.base, fama.envs.base\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["fama", "training"])
def test_imports_run_one_way(package: str) -> None:
    above = {"fama": ("training", "eval"), "training": ("eval",)}[package]
    wrong = []
    for file in (ROOT / package).rglob("*.py"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split()
            if len(words) > 1 and words[0] in ("from", "import") and words[1].split(".")[0] in above:
                if not line.startswith((" ", "\t")):
                    wrong.append(f"{file.relative_to(ROOT)}:{number}: {line}")
    assert not wrong


def test_every_command_answers_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0
        assert f"fama {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rum"], "unknown command 'rum'; known: models, benchmarks, run"),
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["run", "trails=2"], "unknown key 'trails'"),
        (["run", "benchmark=nobench"], "unknown benchmark 'nobench'; known: acebench, helpdesk"),
        (["run", "selector.name=psychic"], "unknown selector 'psychic'; known: all"),
        (["run", "helpers.pool=[DCE,Oracle]"], "unknown helper 'Oracle'; known: "),
        (["run", "--frobnicate"], "fama run --help"),
        (["score", "/nonexistent/folder"], "/nonexistent/folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if arguments[0] == "run":
        arguments = [*arguments, "--out", str(tmp_path / "out"), "model.name=scripted:echo"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "hello", '{"schema_version":1,"id'])
@pytest.mark.parametrize(
    "command",
    [
        ["diagnose", "{log}", "--out", "{out}"],
        ["diagnose", "{log}", "--out", "{out}", "--judge", "scripted:echo"],
        ["score", "{log}"],
        ["show", "{log}"],
        ["annotate", "{log}"],
        ["export", "{log}", "--to", "inspect", "--out", "{out}"],
        ["export", "{log}", "--to", "acebench", "--out", "{out}"],
        ["helpers", "candidates", "{labels}", "--episodes", "{log}"],
    ],
)
def test_a_log_without_a_whole_episode_is_refused(
    command: list[str], content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, labels, out = tmp_path / "log.jsonl", tmp_path / "labels.jsonl", tmp_path / "out"
    log.write_text(content)
    label = {"episode_id": "x", "task_id": "t", "labeller": "a", "taxonomy_version": "v", "fits_none": True}
    labels.write_text(json.dumps(label) + "\n")
    assert cli.main([word.format(log=log, out=out, labels=labels) for word in command]) == 2
    error = capsys.readouterr().err
    assert f"{log}: holds no episodes; run `fama run` or `fama import` first" in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["diagnose", "{log}", "--out", "{out}"],
        ["export", "{log}", "--to", "inspect", "--out", "{out}"],
        ["import", "openai", "{chat}", "--out", "{out}"],
        ["run", "--out", "{out}", "model.name=scripted:echo", "strategy=fc", "placement=user"],
    ],
)
@pytest.mark.parametrize("inside", ["", "/sub"])
def test_a_file_in_the_place_of_a_folder_is_bad_input(
    command: list[str], inside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    EpisodeStore(tmp_path).append(failed(0))
    taken, chat = tmp_path / "taken", tmp_path / "chat.jsonl"
    taken.write_text("mine")
    chat.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]}\n')
    words = [word.format(log=tmp_path / "episodes.jsonl", chat=chat, out=f"{taken}{inside}") for word in command]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert f"{taken}{inside}: is a file where a folder is needed" in error and error.count("\n") == 1
    assert taken.read_text() == "mine"
