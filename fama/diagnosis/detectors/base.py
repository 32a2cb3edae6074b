"""The detector contract, its registry and the run over all of them."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from fama.diagnosis.taxonomy import Taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Evidence
from fama.registry import Registry


class Detector(Protocol):
    """Looks at a finished episode for one kind of mistake.

    A finding's ``source`` is ``family:kind``; its ``category`` is a code of the shipped taxonomy, which
    another taxonomy may move by its ``sources``.
    """

    def __call__(self, trace: Trace) -> Iterable[Evidence]:
        """Return the findings, each with its step and a quote."""
        ...


DETECTORS: Registry[Detector] = Registry(
    "detectors",
    {
        "gold": "fama.diagnosis.detectors.gold:detect",
        "invented": "fama.diagnosis.detectors.invented:detect",
        "tools": "fama.diagnosis.detectors.tools:detect",
        "loops": "fama.diagnosis.detectors.loops:detect",
        "retry": "fama.diagnosis.detectors.retry:detect",
        "endings": "fama.diagnosis.detectors.endings:detect",
        "policy": "fama.diagnosis.detectors.policy:detect",
        "user": "fama.diagnosis.detectors.user:detect",
    },
)


def _findings_of(name: str, trace: Trace) -> Iterator[Evidence]:
    """Yield a detector's findings; an error of its code says which detector and which episode it was."""
    try:
        yield from DETECTORS.load(name)(trace)
    except Exception as error:
        error.add_note(f"in the detector {name!r}, on task {trace.episode.task_id} (episode {trace.episode.id})")
        raise


def collect_findings(trace: Trace, taxonomy: Taxonomy) -> tuple[Evidence, ...]:
    """Return findings of every registered detector under the taxonomy's codes, in order of their steps."""
    found = [
        placed
        for name in DETECTORS.names()
        for evidence in _findings_of(name, trace)
        if (placed := taxonomy.recode(evidence)) is not None
    ]
    last = len(trace.episode.messages)
    return tuple(sorted(dict.fromkeys(found), key=lambda e: (last if e.step is None else e.step, e.source)))
