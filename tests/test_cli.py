"""The command line: quick help, one-line errors with their exit codes, an import that does nothing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fama import cli

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("torch", "transformers", "pandas", "numpy", "openai", "xllamacpp", "duckdb", "lightning", "wandb", "sklearn"),
    *("matplotlib", "scipy", "pyarrow", "ray", "vllm", "aiohttp", "httpx"),
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("arguments", [("-m", "fama", "--help"), ("-c", "import fama")])
def test_help_and_import_are_quick(arguments: tuple[str, ...]) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert python(*arguments).returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


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
