"""The taxonomy file, a user's own one, and bad ones."""

from pathlib import Path

import pytest

from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Evidence
from fama.errors import BadInput

OWN = """
version: own/1
categories:
  - {code: A, name: a, definition: x, sources: ["gold:*"]}
  - {code: IFU, name: b, definition: y}
"""


def test_the_shipped_one() -> None:
    taxonomy = load_taxonomy()
    assert taxonomy.codes == ("DCV", "WRCO", "CM", "IFU")
    assert taxonomy.version
    for category in taxonomy.categories:
        assert category.causes and category.not_this and len(category.examples) == 2


def test_a_users_own_file_moves_findings(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    taxonomy = load_taxonomy(path)
    assert taxonomy.codes == ("A", "IFU")
    claimed = taxonomy.recode(Evidence(source="gold:forbidden", category="DCV"))
    kept = taxonomy.recode(Evidence(source="loop:identical", category="IFU"))
    assert claimed is not None and claimed.category == "A"
    assert kept is not None and kept.category == "IFU"
    assert taxonomy.recode(Evidence(source="policy:identity", category="DCV")) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "cannot be read"),
        ("a: [", "not YAML"),
        ("- 1", "not keys and values"),
        ("version: x\ncategories: []", "categories"),
        ("version: x\ncategories: [{code: A, name: a, definition: d}, {code: A, name: b, definition: d}]", "same code"),
        ("version: x\ncategories: [{code: A, name: a, definition: d, colour: red}]", "colour"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str | None, part: str) -> None:
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=part) as error:
        load_taxonomy(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
