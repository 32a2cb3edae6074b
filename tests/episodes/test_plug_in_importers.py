"""An importer of a user's own: files of any ending, its own words for what is wrong, and the command's options."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

import fama
from fama.cli import main
from fama.episodes.foreign.streams import LogRecord
from fama.episodes.importers.base import IMPORTERS, read_episodes_of
from fama.episodes.records import Episode, Message, Outcome, Source
from fama.episodes.store import read_episodes


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Stream the rows of a CSV file; knows nothing of options."""

    def records() -> Iterator[LogRecord]:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                yield LogRecord(f"{path}:{number}", row)

    def build(number: int, row: dict[str, str]) -> Episode:
        return Episode(
            id=f"{path.name}{number}",
            benchmark="desk",
            domain="unknown",
            task_id=str(number),
            messages=(Message(role="user", content=row["said"]),),
            outcome=Outcome(status="success" if row["ok"] == "1" else "failure"),
            source=Source(importer="table", file=path.name),
        )

    yield from read_episodes_of("table", path, records(), build, options)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    IMPORTERS.add("table", read)
    yield
    IMPORTERS.remove("table")


def test_options_fill_what_the_plug_in_leaves_open(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("said,ok\nHello,1\nHi,0\n", encoding="utf-8")
    flags = ["--backbone", "my-model", "--strategy", "react", "--domain", "hotel", "--benchmark", "other"]
    assert main(["import", "table", str(file), "--out", str(tmp_path / "out"), *flags]) == 0
    found = list(read_episodes(tmp_path / "out"))
    assert [(e.benchmark, e.domain, e.backbone, e.strategy) for e in found] == [
        ("desk", "hotel", "my-model", "react")
    ] * 2
    assert fama.import_logs(file, "table", backbone="my-model")[0].backbone == "my-model"


def test_what_is_wrong_is_told_in_the_plug_ins_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log.csv"
    file.write_text("said\nHello\n", encoding="utf-8")
    assert main(["import", "table", str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"fama: {file}:2: field 'ok' is missing; is this the right format?\n"


def test_a_folder_of_another_ending_is_named_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log.csv").write_text("said,ok\nHello,1\n", encoding="utf-8")
    assert main(["import", "table", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 2
    assert "or files of another ending by name or pattern" in capsys.readouterr().err
    assert main(["import", "table", str(tmp_path / "logs" / "*.csv"), "--out", str(tmp_path / "out")]) == 0
