"""The tables of measured numbers in README and docs are what the committed data say."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from fama.errors import BadInput
from results import tables


def test_every_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Else run ``python -m results.tables`` and commit what it changed."""
    assert tables.main(["--check"]) == 0, capsys.readouterr().out
    assert "4 tables in 3 pages" in capsys.readouterr().out


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
