"""The tables of measured numbers in README and docs are what the committed data say."""

import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from fama import cli
from fama.errors import BadInput
from results import tables


def test_every_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Else run ``python -m results.tables`` and commit what it changed."""
    assert tables.main(["--check"]) == 0, capsys.readouterr().out
    assert "21 tables in 5 pages" in capsys.readouterr().out


def test_a_number_that_the_episodes_do_not_bear_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tables.DATA / "compare", tmp_path / "compare")
    monkeypatch.setattr(tables, "DATA", tmp_path)
    assert "| none |" in tables.selectors()
    path = tmp_path / "compare" / "comparison.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value["arms"][1]["measures"]["successes"] += 1
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(BadInput, match="arm all: measures.successes is .* but its episodes say"):
        tables.selectors()


def test_the_data_are_whole() -> None:
    for path in tables.DATA.rglob("*.gz"):
        with gzip.open(path) as file:
            assert all(line.endswith(b"}\n") for line in file)


def test_the_live_script_names_known_commands_and_configs_that_are_there(tmp_path: Path) -> None:
    lines = [
        line
        for line in (tables.ROOT / "results/live.sh").read_text(encoding="utf-8").splitlines()
        if line.startswith("fama ")
    ]
    assert [line.split()[1] for line in lines] == ["outcomes", "train", "train", "outcomes", "compare", "report"]
    made: set[str] = set()
    for line in lines:
        words = shlex.split(line.replace('"$@"', ""))[1:]
        made |= {words[place + 1] for place, word in enumerate(words) if word == "--out"}
        inputs = [part for word in words for part in re.findall(r"runs/[\w./-]+", word) if part not in made]
        assert all(any(part.startswith(f"{folder}/") for folder in made) for part in inputs), line
        if words[0] == "compare":
            shipped = yaml.safe_load((tables.ROOT / words[words.index("--config") + 1]).read_text(encoding="utf-8"))
            arms = next(yaml.safe_load(word.removeprefix("arms=")) for word in words if word.startswith("arms="))
            assert [arm["name"] for arm in arms] == [arm["name"] for arm in shipped["arms"]]
        if "--config" in words:
            assert cli.main([*words, "--print_config"]) == 0
