"""The taxonomy file and the crosswalk, a user's own ones, and bad ones."""

from pathlib import Path

import pytest

from fama.diagnosis.crosswalk import load_crosswalk
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Evidence, Failure
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


def _crosswalk(tmp_path: Path, vocabulary: str) -> Path:
    path = tmp_path / "crosswalk.yaml"
    path.write_text(f"version: own/1\nto: fama-4/1\nvocabularies:\n  mine: {vocabulary}\n", encoding="utf-8")
    return path


def _labelled(label: str) -> Failure:
    return Failure(
        episode_id="e", task_id="t", categories=(label,), primary=(label,), labeller="them", taxonomy_version="mine/1"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("E1", "E2"), ("错误", "遗漏"), ("'1'", "'2'"), ("FM-1.1", "FM-1.2"), ("Ошибка", "Пропуск"), ("गलती", "गलता")],
)
def test_a_crosswalk_tells_numbered_labels_and_those_of_other_scripts_apart(
    one: str, other: str, tmp_path: Path
) -> None:
    crosswalk = load_crosswalk(_crosswalk(tmp_path, f"{{labels: {{{one}: [DCV], {other}: [IFU]}}}}"))
    assert crosswalk.translate(_labelled(one.strip("'"))).primary == ("DCV",)
    assert crosswalk.translate(_labelled(other.strip("'").lower())).primary == ("IFU",)
    with pytest.raises(BadInput, match="is none of mine's"):
        crosswalk.translate(_labelled("E9"))


def test_a_number_before_words_does_not_count(tmp_path: Path) -> None:
    crosswalk = load_crosswalk(_crosswalk(tmp_path, "{labels: {step repetition: [IFU]}}"))
    assert crosswalk.translate(_labelled("FM-1.3 Step_Repetition")).primary == ("IFU",)


@pytest.mark.parametrize(
    ("vocabulary", "told"),
    [
        ("{labels: {1 lost: [DCV], 2 lost: [IFU]}}", "labels '1 lost' and '2 lost' read alike"),
        ("{labels: {lost: [DCV]}, blame: {last: user}}", "blame 'last' is none of the labels"),
    ],
)
def test_a_crosswalk_whose_labels_cannot_be_told_apart_is_refused(vocabulary: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"crosswalk.yaml: vocabularies.mine: {told}"):
        load_crosswalk(_crosswalk(tmp_path, vocabulary))
