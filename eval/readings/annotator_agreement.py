"""Agreement of labels with readings: category, party and step, with intervals over tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.annotation.agreement import STEPS, cohen_kappa
from eval.annotation.labels import check_codes
from eval.metrics.formats import count, percent
from eval.readings.reader_answers import Reading
from eval.stats.resampling import Resample
from fama.diagnosis.detectors.base import collect_findings
from fama.diagnosis.orchestrator import by_rule
from fama.diagnosis.taxonomy import Taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Failure, Record
from fama.episodes.store import given_labels
from fama.intervals import Interval

DRAWS = 2000


class Named(NamedTuple):
    """The names in a label: a category, a party and a step; ``category`` is the one for the agent's fault."""

    category: str | None
    blame: str
    step: int | None

    @property
    def label(self) -> str:
        """Return the category, or the party where the agent is not to blame."""
        return (self.category or "none") if self.blame == "agent" else self.blame


class AgreementRow(Record):
    """Agreement of one annotator with the readings of ``failures`` failures.

    ``category`` is over the failures that the reading blames on the agent, whomever the label blames; ``label`` and
    ``kappa`` (Cohen 1960) are over all, with the party in the category's place where it is not the agent. ``steps``
    holds the share within so many messages.
    """

    name: str
    failures: int
    category: Interval
    party: Interval
    label: Interval
    kappa: Interval
    steps: Mapping[int, Interval]


def of_reading(reading: Reading) -> Named:
    """Return what a reading names."""
    return Named(reading.category, reading.blame, reading.step)


def of_failure(label: Failure) -> Named:
    """Return what a label names: the first primary category."""
    return Named(label.primary[0] if label.primary else None, label.blame, label.step)


def read_named(path: Path, taxonomy: Taxonomy) -> dict[str, Named]:
    """Return what the labels of a file name, by episode; labels that were only begun name nothing.

    Raises:
        BadInput: there are none, or one names no category of the taxonomy.
    """
    labels = given_labels(path)
    check_codes(path, (code for label in labels for code in label.primary), taxonomy)
    return {label.episode_id: of_failure(label) for label in labels}


def of_detectors(episode: Episode, taxonomy: Taxonomy, references: bool = True) -> Named:
    """Return what the detectors name; without ``references`` from the dialogue alone, as most people's logs are."""
    if not references:
        hidden: dict[str, Any] = {
            "gold_actions": None,
            "required_outputs": None,
            "instruction": None,
            "reward_detail": {},
        }
        episode = episode.model_copy(update=hidden)
    trace = Trace.of(episode)
    merged = by_rule(trace, collect_findings(trace, taxonomy), taxonomy)
    return Named(merged.primary[0], merged.blame, merged.step)


def measure_agreement(
    name: str, readings: Mapping[str, Reading], named: Mapping[str, Named], tasks: Mapping[str, str]
) -> AgreementRow:
    """Compare labels with readings of the same failures; ``tasks`` names each failure's task, the cluster."""
    both = [one for one in readings if one in named]
    truth = [readings[one] for one in both]
    own = [named[one] for one in both]
    resample = Resample([tasks[one] for one in both], DRAWS, 0, "readings")
    agents = [reading.blame == "agent" for reading in truth]
    same = [mine.category == reading.category for mine, reading in zip(own, truth, strict=True)]
    steps = [
        None if mine.step is None else abs(mine.step - reading.step) for mine, reading in zip(own, truth, strict=True)
    ]
    labels = [(reading.label, mine.label) for mine, reading in zip(own, truth, strict=True)]
    return AgreementRow(
        name=name,
        failures=len(both),
        category=_share([hit and agent for hit, agent in zip(same, agents, strict=True)], resample, agents),
        party=_share([mine.blame == reading.blame for mine, reading in zip(own, truth, strict=True)], resample),
        label=_share([left == right for left, right in labels], resample),
        kappa=_kappa(labels, resample),
        steps={within: _share([step is not None and step <= within for step in steps], resample) for within in STEPS},
    )


def _share(hits: Sequence[bool], resample: Resample, counted: Sequence[bool] | None = None) -> Interval:
    counts = np.ones(len(hits)) if counted is None else np.array(counted, dtype=np.float64)
    return resample.share(np.array(hits, dtype=np.float64) * counts, counts)


def _kappa(labels: Sequence[tuple[str, str]], resample: Resample) -> Interval:
    names = sorted({name for pair in labels for name in pair})
    counts = np.zeros((len(labels), len(names), len(names)))
    for place, (left, right) in enumerate(labels):
        counts[place, names.index(left), names.index(right)] = 1
    return resample.interval(cohen_kappa, counts)


def agreement_markdown(rows: Sequence[AgreementRow]) -> str:
    """Return rows as a Markdown table: per cent with 95 % intervals, κ as it is."""
    head = ["labels", "failures", "tasks", "category", "party", "label", "κ", *(f"step ±{within}" for within in STEPS)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [
            row.name,
            str(row.failures),
            str(row.party.n),
            *(percent(share, 0) for share in (row.category, row.party, row.label)),
        ]
        cells += [count(row.kappa, 2), *(percent(row.steps[within], 0) for within in STEPS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
