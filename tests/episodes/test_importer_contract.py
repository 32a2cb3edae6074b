"""The answer of every registered importer to a file that is not of its format: one line that names the file."""

import gzip
from pathlib import Path

import pytest

from fama.episodes.importers.base import IMPORTERS
from fama.errors import BadInput

FILES = {
    "empty": b"",
    "no JSON": b"nonsense",
    "a number": b"[1]",
    "other fields": b'[{"colour": "red"}]',
    "cut off": b'[{"task_id": 1, "traj": [{"role": "us',
    "no text": b"\xff\xfe\x00\x01",
    "broken gzip": gzip.compress(b"[]" * 100)[:-20],
    "deep": b"[" * 5000,
}


@pytest.mark.parametrize("content", FILES)
@pytest.mark.parametrize("name", IMPORTERS.names())
def test_what_is_not_of_the_format_is_one_line(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / ("log.json.gz" if content == "broken gzip" else "log.json")
    path.write_bytes(FILES[content])
    with pytest.raises(BadInput) as error:
        list(IMPORTERS.load(name)(path))
    assert "log.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", IMPORTERS.names())
def test_a_missing_file_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        list(IMPORTERS.load(name)(tmp_path / "nowhere.json"))
    assert "nowhere.json" in str(error.value) and "\n" not in str(error.value)
