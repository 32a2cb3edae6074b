"""From failed episodes to labels: detectors, analysts, orchestrator; resumable, with its ledger."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from pydantic import ValidationError

from fama import __version__
from fama.diagnosis.analysts import analyse, as_evidence
from fama.diagnosis.detectors.base import collect_findings
from fama.diagnosis.orchestrator import by_model, by_rule, rests_on
from fama.diagnosis.taxonomy import Taxonomy, load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Episode, Evidence, Failure, LedgerRow, Record, known_total
from fama.episodes.spending import Spent, bill_of, spent_on_bills, spent_on_calls, unknown
from fama.episodes.store import EPISODES, FAILURES, read_episodes, read_failures, read_set_aside
from fama.errors import BadInput, ModelError
from fama.execution.jobs import WorkerLost, run_pool
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.models.base import ChatModel, billed, billed_after
from fama.redaction import shortened

SUMMARY, LEDGER = "summary.json", "ledger.jsonl"
#: In a folder of episodes, whose ``summary.json`` is that of their run.
SUMMARY_BESIDE_RUN = "diagnosis.json"
LabelProgress = Callable[[Episode, Failure | None], None]


class Labelled(NamedTuple):
    """The label of a failed episode, and what it cost."""

    label: Failure
    rows: tuple[LedgerRow, ...]


class Skipped(Record):
    """An episode that got no label although it failed: the judge's endpoint failed, or its worker died."""

    episode_id: str
    reason: str


#: A label, or why there is none, with what was spent on it.
_Attempt = tuple[Failure | Skipped, tuple[LedgerRow, ...]]


class DiagnosisSummary(Record):
    """Summary of a diagnosis. ``profile`` counts primary categories by ``backbone × domain × strategy``.

    A failure with two primary categories counts in both, one without a cause as ``unexplained``. ``rests_on`` counts
    labels by the kind of evidence behind them (``orchestrator.rests_on``). ``without_reference``
    counts failures whose episode has no reference actions, which the surest detectors need. ``tokens`` are by role,
    over all runs into the folder; ``unparsed`` counts calls whose answer could not be used. ``run_tokens`` and
    ``run_seconds`` are of all episodes that were read or set aside: what a plain run cost before anything could be
    diagnosed; None is unknown. ``taxonomy_hash`` is of what shapes labels in the taxonomy, ``repairs_hash`` of the
    evidence from mining, None without any; both are None in summaries of before they were kept. ``asked`` is the
    judge's context and stated sampling, None without a judge or where it was not kept.
    """

    labeller: str
    taxonomy_version: str
    taxonomy_hash: str | None = None
    repairs_hash: str | None = None
    asked: dict[str, int | float] | None = None
    package_version: str = __version__
    failures: int = 0
    labelled_now: int = 0
    successes_skipped: int = 0
    errors_skipped: int = 0
    judge_errors: tuple[Skipped, ...] = ()
    tokens: dict[str, int | None] = {}
    calls: int = 0
    unparsed: int = 0
    profile: dict[str, dict[str, int]] = {}
    blame: dict[str, int] = {}
    rests_on: dict[str, int] = {}
    without_reference: int | None = None
    run_tokens: int | None = None
    run_seconds: float | None = None


class _CallsOf(Record):
    episode_id: str
    rows: tuple[LedgerRow, ...]


def labeller_name(judge: ChatModel | None, use_evidence: bool = True) -> str:
    """Return the name that signs labels: ``detectors``, ``judge:<model>+evidence`` or ``judge:<model>``."""
    if judge is None:
        return "detectors"
    return f"judge:{judge.name}+evidence" if use_evidence else f"judge:{judge.name}"


async def diagnose_episode(
    episode: Episode,
    judge: ChatModel | None,
    taxonomy: Taxonomy,
    *,
    use_evidence: bool = True,
    context_tokens: int = 6000,
    executed: Mapping[str, Evidence] | None = None,
) -> Labelled:
    """Return the label of one failed episode, and what it cost.

    ``executed`` holds what mining showed of an episode, by its id: it outranks what was only read.

    ``use_evidence`` False withholds all findings from the judge, and the detectors' from its label. ``context_tokens``
    is what one analyst's prompt may take.

    Raises:
        ModelError: the judge's endpoint failed after all retries; ``billed`` of a ``CallFailed`` holds all calls.
    """
    trace = Trace.of(episode)
    shown_by_mining = () if executed is None or episode.id not in executed else (executed[episode.id],)
    found = (*shown_by_mining, *collect_findings(trace, taxonomy))
    if judge is None:
        merged = by_rule(trace, found, taxonomy)
        return Labelled(_failure(episode, merged.__dict__, found, "detectors", taxonomy), ())
    shown = found if use_evidence else shown_by_mining
    verdicts, ledger = await analyse(episode, taxonomy, judge, found if use_evidence else None, context_tokens)
    evidence = (*shown, *as_evidence(verdicts))
    with billed_after(ledger):
        merged = await by_model(trace, evidence, verdicts, taxonomy, judge)
    labeller = labeller_name(judge, use_evidence)
    return Labelled(_failure(episode, merged.__dict__, evidence, labeller, taxonomy), (*ledger, *merged.ledger))


def _failure(
    episode: Episode, merged: dict[str, Any], evidence: Iterable[Evidence], labeller: str, taxonomy: Taxonomy
) -> Failure:
    return Failure(
        episode_id=episode.id,
        task_id=episode.task_id,
        benchmark=episode.benchmark,
        domain=episode.domain,
        evidence=tuple(evidence),
        labeller=labeller,
        taxonomy_version=taxonomy.version,
        fits_none=not (merged["categories"] or merged["primary"]),
        **{key: value for key, value in merged.items() if key != "ledger"},
    )


async def diagnose(
    path: Path,
    out: Path,
    judge: ChatModel | None = None,
    *,
    taxonomy: Taxonomy | None = None,
    use_evidence: bool = True,
    context_tokens: int = 6000,
    progress: LabelProgress | None = None,
    concurrency: int = 1,
    label: Callable[[Episode], Awaitable[Labelled]] | None = None,
    executed: Mapping[str, Evidence] | None = None,
) -> DiagnosisSummary:
    """Label every failed episode of ``path`` into ``out/failures.jsonl``; run again, it goes on where it stopped.

    Successes are skipped, errors are counted and skipped. A failure whose judge does not answer is left for the next
    run. ``progress`` is called after each failed episode, with None when it was labelled before. ``concurrency``
    episodes are judged at once. ``label`` labels one elsewhere, as ``diagnose_episode`` would with these arguments.
    ``executed`` is evidence from mining, by episode.

    Raises:
        BadInput: no readable episodes, or ``out`` holds labels of another annotator, taxonomy or mining.
        ModelError: the judge did not answer for any failure.
    """
    taxonomy = taxonomy or load_taxonomy()
    log = read_episodes(path)
    episodes = chain([next(log)], log)  # an empty one is refused before anything is written
    out.mkdir(parents=True, exist_ok=True)
    labelling = label or partial(
        diagnose_episode,
        judge=judge,
        taxonomy=taxonomy,
        use_evidence=use_evidence,
        context_tokens=context_tokens,
        executed=executed,
    )

    async def attempt(episode: Episode) -> _Attempt:
        try:
            return await labelling(episode)
        except (ModelError, WorkerLost) as error:
            return Skipped(episode_id=episode.id, reason=shortened(error)), billed(error)

    with FileLock(out / ".diagnosis.lock"):
        name, asked = labeller_name(judge, use_evidence), _asked(judge, context_tokens)
        made_with = _MadeWith(name, taxonomy.version, taxonomy.label_hash, _repairs_hash(executed), asked)
        done = _Diagnosis(out, made_with, progress, read_set_aside(path))
        await run_pool(done.unlabelled(episodes), attempt, done.finish, concurrency)
        summary = done.close()
    if summary.judge_errors and not summary.labelled_now:
        first = summary.judge_errors[0].reason
        raise ModelError(f"the judge did not answer for any of {len(summary.judge_errors)} failures: {first}")
    return summary


@dataclass(frozen=True)
class _MadeWith:
    """All that shapes the labels of a folder; None where a folder's earlier labels do not say it."""

    labeller: str
    taxonomy_version: str
    taxonomy_hash: str | None
    repairs_hash: str | None
    asked: dict[str, int | float] | None


class _Diagnosis:
    """Labels of one folder, those of earlier runs too, and what is counted beside them."""

    def __init__(
        self, out: Path, made_with: _MadeWith, progress: LabelProgress | None, set_aside: Iterable[Episode]
    ) -> None:
        """Take up the folder; what its labels are made with is on disk before the first one.

        Raises:
            BadInput: it holds labels of another annotator, taxonomy or mining.
        """
        self._out = out
        self._progress = progress or (lambda episode, label: None)
        self._store, self._ledger = RecordStore(out / FAILURES, Failure), RecordStore(out / LEDGER, _CallsOf)
        self._counts: Counter[str] = Counter()
        self._skipped: list[Skipped] = []
        self._groups: dict[str, str] = {}
        self._bills = [bill_of(episode) for episode in set_aside]
        self._labels, self._made_with = _resume(out, made_with)
        if not self._labels:
            self._write_summary()

    def unlabelled(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Yield each failure without a label once, and count all episodes."""
        taken = set(self._labels)
        for episode in episodes:
            self._bills.append(bill_of(episode))
            self._counts[episode.outcome.status] += 1
            if episode.outcome.status != "failure":
                continue
            self._groups[episode.id] = group_of(episode)
            self._counts["without reference"] += episode.gold_actions is None
            if episode.id not in taken:
                taken.add(episode.id)
                yield episode
            else:
                self._progress(episode, None)

    def finish(self, episode: Episode, attempt: _Attempt) -> None:
        """Write what was spent, and the label, or remember why there is none."""
        label, rows = attempt
        if rows:
            self._ledger.append(_CallsOf(episode_id=episode.id, rows=rows))
        if isinstance(label, Skipped):
            self._skipped.append(label)
            return
        self._store.append(label)
        self._labels[episode.id] = label
        self._counts["new"] += 1
        self._progress(episode, label)

    def close(self) -> DiagnosisSummary:
        """Write the summary; return it."""
        if not self._store.path.exists():
            self._store.rewrite(())
        return self._write_summary()

    def _write_summary(self) -> DiagnosisSummary:
        made_with = self._made_with
        run = spent_on_bills("plain run", self._out, self._bills)
        rows = ledger_rows(self._out / LEDGER)
        tokens: dict[str, int | None] = {}
        for row in rows:
            tokens[row.role] = known_total((tokens.get(row.role, 0), row.total_tokens))
        profile: dict[str, Counter[str]] = {}
        blame: Counter[str] = Counter()
        grounds: Counter[str] = Counter()
        for label in self._labels.values():
            here = profile.setdefault(self._groups.get(label.episode_id, "not in this log"), Counter())
            here["n"] += 1
            here.update(label.causes)
            blame[label.blame] += 1
            grounds[rests_on(label)] += 1
        summary = DiagnosisSummary(
            labeller=made_with.labeller,
            taxonomy_version=made_with.taxonomy_version,
            taxonomy_hash=made_with.taxonomy_hash,
            repairs_hash=made_with.repairs_hash,
            asked=made_with.asked,
            failures=sum(here["n"] for here in profile.values()),
            labelled_now=self._counts["new"],
            successes_skipped=self._counts["success"],
            errors_skipped=self._counts["error"],
            judge_errors=tuple(self._skipped),
            tokens=tokens,
            calls=len(rows),
            unparsed=sum(not row.parsed for row in rows),
            profile={name: dict(here) for name, here in sorted(profile.items())},
            blame=dict(blame),
            rests_on=dict(grounds),
            without_reference=self._counts["without reference"],
            run_tokens=run.tokens,
            run_seconds=run.seconds,
        )
        write_atomically(_summary_file(self._out), summary.model_dump_json(indent=2) + "\n")
        return summary


def group_of(episode: Episode) -> str:
    """Return the row of a profile that an episode belongs to: backbone × domain × strategy."""
    parts = (episode.backbone or "unknown", f"{episode.benchmark}/{episode.domain}", episode.strategy or "unknown")
    return " × ".join(parts)


def _repairs_hash(executed: Mapping[str, Evidence] | None) -> str | None:
    return content_hash({key: one.model_dump() for key, one in executed.items()}) if executed else None


def _asked(judge: ChatModel | None, context_tokens: int) -> dict[str, int | float] | None:
    """Return how a judge is asked; None without one."""
    return None if judge is None else {"context_tokens": context_tokens, **getattr(judge, "stated", {})}


def _resume(out: Path, made_with: _MadeWith) -> tuple[dict[str, Failure], _MadeWith]:
    """Return the labels of earlier runs, and what all labels of the folder are then made with."""
    path = out / FAILURES
    labels = read_failures(path) if path.exists() else []
    for label in labels:
        if label.labeller != made_with.labeller or label.taxonomy_version != made_with.taxonomy_version:
            raise BadInput(
                f"{path}: holds labels by {label.labeller} under {label.taxonomy_version}, not by "
                f"{made_with.labeller} under {made_with.taxonomy_version}; choose another --out"
            )
    before = _read_summary(out) if path.exists() else None
    if before is not None and before.taxonomy_hash is not None:
        if before.taxonomy_hash != made_with.taxonomy_hash:
            raise BadInput(
                f"{path}: labelled under {made_with.taxonomy_version} with other content; change its version and give "
                "another --out"
            )
        if before.repairs_hash != made_with.repairs_hash:
            raise BadInput(f"{path}: labelled without these repairs; give another --out, or the --repairs of before")
        if labels and before.asked is not None and before.asked != made_with.asked:
            was, now = (json.dumps(asked, sort_keys=True) for asked in (before.asked, made_with.asked))
            raise BadInput(f"{path}: its judge was asked with {was}, not {now}; set it back or give another --out")
    if labels:
        kept = before or DiagnosisSummary(labeller=made_with.labeller, taxonomy_version=made_with.taxonomy_version)
        made_with = _MadeWith(kept.labeller, kept.taxonomy_version, kept.taxonomy_hash, kept.repairs_hash, kept.asked)
    return {label.episode_id: label for label in labels}, made_with


def _summary_file(folder: Path) -> Path:
    return folder / (SUMMARY_BESIDE_RUN if (folder / EPISODES).exists() else SUMMARY)


def _read_summary(folder: Path) -> DiagnosisSummary | None:
    for name in (SUMMARY_BESIDE_RUN, SUMMARY):
        try:
            return DiagnosisSummary.model_validate_json((folder / name).read_bytes())
        except (OSError, ValidationError):
            continue
    return None


def ledger_rows(path: Path) -> list[LedgerRow]:
    """Return all rows ever spent into the folder; a torn last line is left out."""
    if not path.exists():
        return []
    rows: list[LedgerRow] = []
    for line in path.read_bytes().splitlines():
        try:
            rows += _CallsOf.model_validate(json.loads(line)).rows
        except (ValueError, ValidationError):
            continue
    return rows


def spent_on_labels(failures: Path) -> tuple[Spent, Spent]:
    """Return the cost of a label file: the diagnosed plain run and the diagnosis; unknown without its summary."""
    folder = failures if failures.is_dir() else failures.parent
    summary = _read_summary(folder)
    if summary is None:
        return unknown("plain run", str(failures)), unknown("diagnosis", str(failures))
    run = Spent(part="plain run", source=str(failures), tokens=summary.run_tokens, seconds=summary.run_seconds)
    rows = ledger_rows(folder / LEDGER)
    if len(rows) != summary.calls:
        return run, unknown("diagnosis", str(failures))
    if not rows:  # detectors alone ask no model; nobody times them
        return run, Spent(part="diagnosis", source=str(failures), tokens=0, seconds=None)
    return run, spent_on_calls("diagnosis", failures, rows)
