"""Labels of several annotators, read under one taxonomy."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fama.diagnosis.crosswalk import Crosswalk, load_crosswalk
from fama.diagnosis.taxonomy import Taxonomy, load_taxonomy
from fama.episodes.jsonl import existing_file
from fama.episodes.records import Failure
from fama.episodes.store import FAILURES, given_labels
from fama.errors import BadInput

NONE = "none"
#: rater → episode → label
Labels = Mapping[str, Mapping[str, Failure]]


def category_label(codes: Iterable[str]) -> str:
    """Return the codes joined by ``+``, ``none`` without any."""
    return "+".join(codes) or NONE


def load_scheme(taxonomy_file: str | None, crosswalk_file: str | None) -> tuple[Taxonomy, Crosswalk]:
    """Return the taxonomy and the crosswalk to it; the shipped ones where no file is given.

    Raises:
        BadInput: a file is wrong, or the crosswalk maps to a category that the taxonomy lacks.
    """
    taxonomy = load_taxonomy(Path(taxonomy_file) if taxonomy_file else None)
    crosswalk = load_crosswalk(Path(crosswalk_file) if crosswalk_file else None)
    if taxonomy_file and not crosswalk_file:  # the shipped one speaks of the shipped categories only
        crosswalk = crosswalk.model_copy(update={"to": taxonomy.version, "vocabularies": {}})
    elif unknown := crosswalk.codes - set(taxonomy.codes):
        raise BadInput(f"{crosswalk_file}: maps to {min(unknown)!r}, which is no category of {taxonomy.version}")
    return taxonomy, crosswalk


def label_file(path: Path) -> Path:
    """Return the one name of a label file, however it is given: itself, by a link, or by its folder.

    Raises:
        BadInput: the folder holds none.
    """
    return (existing_file(path, FAILURES) if path.is_dir() else path).resolve()


def refuse_twice(paths: Iterable[Path], why: str) -> None:
    """Refuse a label file that is given twice.

    Raises:
        BadInput: names the file and says why not.
    """
    if twice := [path for path, count in Counter(map(label_file, paths)).items() if count > 1]:
        raise BadInput(f"{twice[0]}: is given twice; {why}, name each file once")


def check_codes(path: Path, named: Iterable[str], taxonomy: Taxonomy) -> None:
    """Refuse a label that names no category of a taxonomy: it would count as one that names none.

    Raises:
        BadInput: names the category.
    """
    if unknown := set(named) - {*taxonomy.codes}:
        known = ", ".join(taxonomy.codes)
        raise BadInput(
            f"{path}: names {min(unknown)!r}, which is no category of {taxonomy.version} ({known}); give labels of "
            "it, or the file of their own taxonomy where the command takes one"
        )


def read_labels(paths: Sequence[Path], taxonomy: Taxonomy, crosswalk: Crosswalk) -> dict[str, dict[str, Failure]]:
    """Read labels by annotator and episode, all under one taxonomy, the crosswalk's.

    Labels that were only begun are left out. An annotator who is in several files counts as several, named after the
    files.

    Raises:
        BadInput: a file cannot be read or is given twice, a label is unknown, or an annotator labels an episode twice
            in one file.
    """
    refuse_twice(paths, "one annotator would agree with itself")
    by_source: dict[tuple[str, str], dict[str, Failure]] = {}
    for path in paths:
        for failure in given_labels(path):
            labels = by_source.setdefault((failure.labeller, str(path)), {})
            if failure.episode_id in labels:
                raise BadInput(f"{path}: {failure.labeller} labels episode {failure.episode_id} twice; delete one line")
            labels[failure.episode_id] = found = crosswalk.translate(failure)
            check_codes(path, (*found.primary, *found.categories), taxonomy)
    files = Counter(annotator for annotator, _ in by_source)
    named = {
        annotator if files[annotator] == 1 else f"{annotator} ({path})": labels
        for (annotator, path), labels in by_source.items()
    }
    if len(named) < 2:
        raise BadInput(f"{paths[0]}: one annotator alone agrees with nobody; give the files of at least two")
    return named


def guess_counts(labels: Labels) -> dict[str, int]:
    """Return how many labels of each annotator are guesses: no detector found a cause."""
    return {rater: sum(one.unexplained for one in rows.values()) for rater, rows in labels.items()}


def without_guesses(labels: Labels) -> dict[str, dict[str, Failure]]:
    """Return the labels that are no guesses."""
    return {rater: {unit: one for unit, one in rows.items() if not one.unexplained} for rater, rows in labels.items()}
