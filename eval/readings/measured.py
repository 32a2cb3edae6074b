"""The committed measurements: how far annotators agreed with the readings, and what exactly was measured."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from eval.metrics.formats import count, percent
from eval.readings.annotator_agreement import AgreementRow, agreement_markdown
from eval.readings.readings import FOLDER, ReadingsPart
from fama.diagnosis import analysts, orchestrator
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.prompts import prompt_hash

AGREEMENT = "agreement.jsonl"
MEASURE = "do so with `python -m eval.readings judge LOGS --judge NAME --out DIR`"


class LabellerScores(Record):
    """One annotator on one part of the readings. ``prompts`` is None for labels that no judge gave."""

    half: ReadingsPart
    row: AgreementRow
    taxonomy: str
    prompts: str | None = None
    context_tokens: int | None = None
    sampling: dict[str, float] | None = Field(default=None, exclude_if=lambda value: value is None)
    """A judge's sampling as far as it was stated, the rest as each question's own; None where it was not recorded."""
    commit: str | None = None

    @property
    def stale(self) -> bool:
        """Return whether a judge was measured with other prompts than today's."""
        return self.prompts is not None and self.prompts != judge_prompts()


def judge_prompts() -> str:
    """Return the hash of all that a judge is told, an episode's text aside."""
    return content_hash([prompt_hash(name) for name in (*analysts.PROMPTS, *orchestrator.PROMPTS)])


def read_measured(folder: Path = FOLDER) -> list[LabellerScores]:
    """Return the measurements of a folder of readings, in file order; none where no file is.

    Raises:
        BadInput: a line is no measurement.
    """
    return list(RecordStore(folder / AGREEMENT, LabellerScores).read())


def record_scores(measured: Iterable[LabellerScores], folder: Path = FOLDER) -> None:
    """Add measurements to a folder's; one of the same annotator and half is replaced.

    Raises:
        BadInput: one there is of more failures, with the taxonomy and the prompts of today.
    """
    rows = {(one.half, one.row.name): one for one in read_measured(folder)}
    for one in measured:
        old = rows.get((one.half, one.row.name))
        if old and old.row.failures > one.row.failures and old.taxonomy == one.taxonomy and not old.stale:
            raise BadInput(
                f"{folder / AGREEMENT}: {one.row.name} was measured on {old.row.failures} failures of the {one.half} "
                f"part, this is on {one.row.failures}; measure all of them, or delete that line first"
            )
        rows[one.half, one.row.name] = one
    lines = [one.model_dump_json() for one in rows.values()]
    write_atomically(folder / AGREEMENT, "".join(f"{line}\n" for line in lines))


def lines_about(
    labeller: str, taxonomy: str, context_tokens: int, sampling: Mapping[str, float], folder: Path = FOLDER
) -> list[str]:
    """Return what is known of a judge's agreement with readings, for people; or how it can be measured."""
    told = []
    for one in read_measured(folder):
        row = one.row
        if row.name != labeller or one.taxonomy != taxonomy:
            continue
        told.append(
            f"measured on {row.failures} read failures of {row.party.n} tasks ({one.half} part; the readings are a "
            f"language model's), in %: category {percent(row.category, 0)}, party {percent(row.party, 0)}, step within "
            f"one message {percent(row.steps[1], 0)}; κ {count(row.kappa, 2)}"
        )
        if one.stale:
            told.append("its prompts have changed since; measure it again")
        if one.context_tokens != context_tokens:
            told.append(f"that was with --context {one.context_tokens}, this is with {context_tokens}")
        if one.sampling != sampling:
            told.append(f"that was sampled with {_in_words(one.sampling)}, this with {_in_words(sampling)}")
    return told or [f"{labeller} was never measured on read failures; {MEASURE}"]


def _in_words(sampling: Mapping[str, float] | None) -> str:
    if sampling is None:
        return "settings that were not recorded"
    return ", ".join(f"{name} {value:g}" for name, value in sorted(sampling.items())) or "each question's own settings"


def measured_markdown(part: ReadingsPart) -> str:
    """Tabulate how far each annotator agrees with one part of the readings, as committed."""
    rows = [one for one in read_measured() if one.half == part]
    commits = ", ".join(sorted({(one.commit or "unknown")[:7] for one in rows}))
    return f"{agreement_markdown([one.row for one in rows])}\n\nMeasured at commit {commits}."
