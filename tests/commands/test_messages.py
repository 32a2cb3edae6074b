"""Messages of commands about a wrong path, a wrong name or a reply that nobody could read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fama.agents.loop import run_episode
from fama.cli import main
from fama.episodes.store import EpisodeStore
from fama.settings import ExperimentSettings
from tests.support.eval_builders import build, write_episodes
from tests.support.toy_agents import LampWorld, lines, setup_for

ROUTERS = Path(__file__).parents[2] / "checkpoints"


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize(
    ("command", "article"),
    [(("show",), "an episodes"), (("score",), "an episodes"), (("profile",), "a failures")],
)
def test_a_missing_path(
    command: tuple[str, ...], article: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = complaint(capsys, *command, str(tmp_path / "none"))
    assert f"does not exist; give {article}.jsonl or the folder that holds one" in text


def test_a_folder_of_routers_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_episodes(tmp_path / "episodes.jsonl", [build("a", "none")])
    text = complaint(capsys, "select", "--router", str(ROUTERS), "--episodes", str(tmp_path))
    assert f"give one of {ROUTERS / 'helpdesk-encoder'}, {ROUTERS / 'helpdesk-episode'}" in text
    assert "fama train" in complaint(capsys, "select", "--router", str(tmp_path), "--episodes", str(tmp_path))


def test_a_selection_of_nothing_is_refused_also_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_episodes(
        tmp_path / "episodes.jsonl", [build("a", "none").model_copy(update={"messages": (), "decisions": ()})]
    )
    command = ("select", "--router", str(ROUTERS / "helpdesk-linear"), "--episodes", str(tmp_path))
    for form in ((), ("--json",)):
        assert "no episode with a decision" in complaint(capsys, *command, *form)
        assert "--limit is 0; give a number of at least 1" in complaint(capsys, *command, *form, "--limit", "0")


def test_names_and_terminals_that_are_no_utf8_end_no_command(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "a \u2192 b"}]}) + "\n")
    out = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    for words in (
        ("run", "model.name=scripted:echo", "domain=shop", "split=dev", "tasks=1", "--out", out),
        ("import", "openai", str(tmp_path / "log.jsonl"), "--out", str(tmp_path / "imported")),
    ):
        command = [sys.executable, "-m", "fama", *words]
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        ended = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
        assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False), ended.stderr[-500:]
    assert "r\\xff" in json.loads(Path(out, "config.json").read_text())["argv"][-1]


@pytest.mark.parametrize("format_name", ("auto", "tau2", "openai"))
@pytest.mark.parametrize(
    "content",
    (b"# Title\n\nSome words.\n", b"[![badge](x.svg)](y)\n# Title\n", b"\x89PNG\r\n\x1a\n\x00", b"", b"a: 1\nb: [2]\n"),
)
def test_a_file_that_is_no_log(
    content: bytes, format_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content)
    text = complaint(capsys, "import", format_name, str(path), "--out", str(tmp_path / "out"))
    assert text == f"fama: {path}: not a log; give a .json, .jsonl, .gz or .eval file\n"


def test_a_log_of_another_ending_is_read_and_its_faults_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.txt"
    path.write_text('{"weather": "fine"}\n', encoding="utf-8")
    text = complaint(capsys, "import", "auto", str(path), "--out", str(tmp_path / "out"))
    assert "no known format has the fields weather" in text
    path.write_text('{"messages": [{"role": "user", "content": "Hello"}], "success": true}\n', encoding="utf-8")
    assert main(["import", "auto", str(path), "--out", str(tmp_path / "out")]) == 0


def test_an_unknown_scripted_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = complaint(capsys, "run", "model.name=scripted:nope", "tasks=1", "--out", str(tmp_path / "out"))
    assert text == "fama: model.name: unknown scripted model 'nope'; known: scripted:echo\n"


async def test_an_unparsed_reply_is_not_shown_as_spoken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = setup_for(lines('{"tool": ', '{"tool": '), LampWorld())
    episode = await run_episode(setup, ExperimentSettings())
    assert episode.outcome.reason == "unparseable"
    EpisodeStore(tmp_path).append(episode)
    assert main(["show", str(tmp_path)]) == 0
    last = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip()][-1]
    assert last[0] == "unparsed" and last[1].startswith('{"tool":')


def test_help_names_the_folder_that_diagnose_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    shown = capsys.readouterr().out
    assert "--out OUT" in shown and "DIR2" not in shown


def test_helpers_say_whether_they_are_in_the_default_pool(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["helpers", "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:2] == ["helper", "default"] and ["TSA", "yes"] in [row[:2] for row in rows]
