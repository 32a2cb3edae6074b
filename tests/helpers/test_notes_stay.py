"""Template helpers write the notes that committed results were made with."""

import json

import pytest

from fama.helpers.base import TEMPLATE_TEXTS
from tests.support.note_digests import GOLDEN, ROOT, Digest, digest, episode_files

KNOWN = json.loads(GOLDEN.read_text(encoding="utf-8"))
FILES = {str(path.relative_to(ROOT)): path for path in episode_files()}
QUICK = ("results/helpdesk/saas-dev/episodes.jsonl.gz", "results/tau2/mock/episodes.jsonl.gz")


def test_every_file_and_this_version_of_the_texts_is_known() -> None:
    assert KNOWN["template_texts"] == TEMPLATE_TEXTS
    assert KNOWN["files"].keys() == FILES.keys()
    assert sum(known["notes"] for known in KNOWN["files"].values()) > 40_000


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
)
def test_notes_are_those_of_the_committed_results(name: str) -> None:
    assert digest(FILES[name]) == Digest(**KNOWN["files"][name])
