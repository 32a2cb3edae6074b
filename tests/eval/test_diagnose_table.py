"""The table that ``fama diagnose`` prints about a judge that says the same of every failure."""

from io import StringIO

import pytest
from rich.console import Console

from eval.commands.diagnose import print_profile
from fama.diagnosis.diagnose import DiagnosisSummary
from fama.diagnosis.taxonomy import load_taxonomy


def printed(counts: dict[str, int], calls: int) -> str:
    out = StringIO()
    summary = DiagnosisSummary(
        labeller="judge:j" if calls else "detectors",
        taxonomy_version="t/1",
        failures=counts["n"],
        labelled_now=counts["n"],
        calls=calls,
        profile={"m × d × act": counts},
    )
    print_profile(Console(file=out, width=200), summary, load_taxonomy())
    return out.getvalue()


@pytest.mark.parametrize(
    ("counts", "calls", "named"),
    [
        ({"n": 60, "DCV": 60, "WRCO": 54}, 300, "DCV and WRCO"),
        ({"n": 60, "DCV": 53, "IFU": 7}, 300, ""),
        ({"n": 19, "DCV": 19}, 95, ""),
        ({"n": 60, "DCV": 60}, 0, ""),
    ],
)
def test_a_judge_that_names_one_category_nearly_always_is_warned_about(
    counts: dict[str, int], calls: int, named: str
) -> None:
    text = printed(counts, calls)
    assert ("warning: the judge names" in text) == bool(named)
    if named:
        assert f"names {named} for at least 90% of the failures" in text and "fama agree" in text
