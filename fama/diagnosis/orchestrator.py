"""Merging findings into one label: primary categories, the first decisive step, blame, confidence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, create_model

from fama.diagnosis.analysts import Verdict
from fama.diagnosis.judging import JudgeForm, ask_json
from fama.diagnosis.rendering import render_findings
from fama.diagnosis.taxonomy import Taxonomy, matches
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.turns import shorten
from fama.episodes.records import UNEXPLAINED, Blame, Evidence, Failure, LedgerRow
from fama.models.base import ChatModel
from fama.prompts import render

PROMPTS = ("diagnosis/orchestrator_system.v2", "diagnosis/orchestrator.v2")
#: Families of findings, by what they rest on, the surest first; whatever else a detector finds stands in the dialogue.
KINDS = (("executed:", "executed"), ("gold:", "reference"), ("analyst:", "judge"), ("", "dialogue"))
#: How far a finding explains the failure by itself, by source; the first matching pattern counts. A difference in the
#: final changes is the failure itself; a slip on the way need not have mattered.
WEIGHTS: tuple[tuple[str, float], ...] = (
    ("executed:*", 1.1),
    ("gold:invented", 1.0),
    ("gold:wrong_row", 1.0),
    ("gold:outdated", 1.0),
    ("gold:unsourced", 1.0),
    ("gold:forbidden", 1.0),
    ("gold:extra", 0.9),
    ("gold:refused", 0.95),
    ("gold:misread", 0.9),
    ("gold:unagreed", 0.95),
    ("gold:closing", 0.8),
    ("gold:unchecked", 0.8),
    ("gold:unclosed", 0.6),
    ("gold:missing", 0.85),
    ("gold:untold", 0.8),
    ("gold:told_wrong", 0.9),
    ("gold:denied", 0.9),
    ("gold:computed", 0.82),
    ("user:endless", 0.95),
    ("loop:stalled", 0.95),
    ("analyst:*", 0.9),
    ("invented:claim", 0.9),
    ("invented:blocked", 0.9),
    ("invented:argument", 0.85),
    ("policy:identity", 0.85),
    ("retry:transient", 0.8),
    ("loop:*", 0.7),
    ("invented:lookup", 0.6),
    ("end:*", 0.6),
    ("tool:unknown", 0.5),
    ("retry:*", 0.5),
    ("policy:confirmation", 0.45),
    ("policy:turned_down", 0.4),
    ("invented:stated", 0.4),
    ("tool:schema", 0.3),
)
OTHER_WEIGHT = 0.3
#: A category is named at all from this weight, and is primary within this share of the strongest one.
NAMED, PRIMARY_SHARE, MAX_PRIMARY = 0.4, 0.97, 2
#: Sources that are about one call, whose mistake a later success makes good.
_OF_CALL = ("invented:argument", "invented:lookup", "invented:blocked", "tool:*", "retry:*", "policy:turned_down")

#: Characters of a call that every quote of one has, however it is cut.
_HEAD = 80


@dataclass(frozen=True)
class Merged:
    """The label of one failure, before it becomes a record."""

    categories: tuple[str, ...]
    primary: tuple[str, ...]
    step: int | None
    blame: Blame
    rationale: str
    confidence: float
    ledger: tuple[LedgerRow, ...] = ()


@lru_cache(maxsize=4096)
def weight(source: str) -> float:
    """Return how far a finding of that source explains a failure by itself, in (0, 1]; what was executed, above 1."""
    return next((value for pattern, value in WEIGHTS if fnmatch(source, pattern)), OTHER_WEIGHT)


def rests_on(label: Failure) -> str:
    """Return what is behind a label: ``executed``, ``reference``, ``judge``, ``dialogue`` or ``nothing``."""
    if label.unexplained:
        return "nothing"
    named = [item for item in label.evidence if item.category in label.primary]
    best = max(named, key=lambda item: weight(item.source), default=None)
    if best is None:
        return "judge" if label.labeller.startswith("judge:") else "nothing"
    return next(kind for family, kind in KINDS if best.source.startswith(family))


def is_executed(evidence: Sequence[Evidence]) -> bool:
    """Return whether mining showed that notes repair the episode."""
    return any(item.source.startswith("executed:") for item in evidence)


def credit(trace: Trace, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the findings without those that the agent repaired: the call failed, and the same tool worked later."""
    return tuple(item for item in evidence if not (matches(item.source, _OF_CALL) and _is_repaired(trace, item)))


def _is_repaired(trace: Trace, item: Evidence) -> bool:
    found = _calls_of(trace, item)
    return bool(found) and all(call.failed and _worked_later(trace, item, call) for call in found)


def _calls_of(trace: Trace, item: Evidence) -> list[Call]:
    """Return the calls that a finding is about: of several in its message, those that its quote names, or opens."""
    found = [call for call in trace.calls if call.step == item.step]
    named = [c for c in found if re.search(rf"(?<![\w.-]){re.escape(c.name)}[(:]", item.quote)] or found
    return [call for call in named if call.quote(_HEAD).rstrip("…") in item.quote] or named


def _worked_later(trace: Trace, item: Evidence, call: Call) -> bool:
    later = [c for c in trace.calls if c.order > call.order and not c.failed]
    return any(c.name == call.name or (item.source == "tool:unknown" and trace.roles.writes(c.name)) for c in later)


def by_rule(trace: Trace, evidence: Sequence[Evidence], taxonomy: Taxonomy) -> Merged:
    """Merge by rule: the strongest uncredited finding decides, ties go to the earlier step."""
    kept = credit(trace, evidence)
    scores: dict[str, float] = {}
    steps: dict[str, int] = {}
    last = len(trace.episode.messages)
    for item in kept:
        strength = weight(item.source)
        step = last if item.step is None else item.step
        if strength > scores.get(item.category, 0.0):
            scores[item.category], steps[item.category] = strength, step
        elif strength == scores[item.category]:
            steps[item.category] = min(step, steps[item.category])
    if not scores:
        return _unexplained(trace, taxonomy)
    top = max(scores.values())
    order = sorted(scores, key=lambda code: (-scores[code], steps[code], taxonomy.codes.index(code)))
    primary = tuple(code for code in order if scores[code] >= PRIMARY_SHARE * top)[:MAX_PRIMARY]
    named = tuple(code for code in taxonomy.codes if scores.get(code, 0.0) >= min(NAMED, top))
    step = min(steps[code] for code in primary)
    return Merged(
        categories=named,
        primary=primary,
        step=step if step < last else None,
        blame=blame_of(trace, kept),
        rationale=_reason(primary, kept, taxonomy),
        confidence=round(min(scores[primary[0]], 1.0) * scores[primary[0]] / sum(scores.values()), 3),
    )


def _unexplained(trace: Trace, taxonomy: Taxonomy) -> Merged:
    fallback = "IFU" if "IFU" in taxonomy.codes else taxonomy.codes[-1]
    return Merged(
        categories=(fallback,),
        primary=(fallback,),
        step=trace.last_agent_step,
        blame="agent",
        rationale=UNEXPLAINED,
        confidence=0.1,
    )


def _reason(primary: Sequence[str], evidence: Sequence[Evidence], taxonomy: Taxonomy) -> str:
    parts = []
    for code in primary:
        best = max((e for e in evidence if e.category == code), key=lambda e: (weight(e.source), -(e.step or 0)))
        parts.append(f"{taxonomy.category(code).name} ({best.source} at message {best.step}): {best.quote}")
    return "; ".join(parts)


def blame_of(trace: Trace, evidence: Sequence[Evidence]) -> Blame:
    """Return who broke the episode.

    The user, if it talked on until the limit; if it made up a value or took the agent's part and no change was made
    at all; or if it left while it was being asked or had just agreed, and no harmful change was made. The environment,
    if the agent tried a busy tool at least three times and it never worked; else the agent.
    """
    sources = {item.source for item in evidence}
    if is_executed(evidence):
        return "agent"  # with notes it succeeded, with this user and these tools
    if "user:endless" in sources:
        return "user"
    if {"user:invented", "user:mirrored"} & sources and not trace.writes:
        return "user"
    harmful = any(weight(e.source) >= 0.9 and not e.source.startswith("analyst:") for e in evidence)
    if not harmful and "user:left" in sources:
        return "user"
    for name in {call.name for call in trace.calls}:
        tries = [call for call in trace.calls if call.name == name]
        if len(tries) >= 3 and all(call.busy for call in tries):
            return "environment"
    return "agent"


class OrchestratorForm(JudgeForm):
    """The orchestrator's answer."""

    primary: list[str]
    step: int
    blame: Blame
    rationale: str


@lru_cache(maxsize=64)
def orchestrator_form(codes: tuple[str, ...], steps: int) -> type[OrchestratorForm]:
    """Return the form for a taxonomy's categories and an episode of that many messages."""
    code: Any = Literal[codes]
    return create_model(
        "OrchestratorForm",
        __base__=OrchestratorForm,
        primary=(list[code], Field(min_length=1)),
        step=(int, Field(ge=0, le=max(steps - 1, 0))),
    )


async def by_model(
    trace: Trace,
    evidence: Sequence[Evidence],
    verdicts: Sequence[Verdict],
    taxonomy: Taxonomy,
    judge: ChatModel,
) -> Merged:
    """Merge in one call, billed either way; the rule decides when its answer cannot be parsed.

    It decides without a call where notes repaired the episode: what was executed outranks what a judge reads.
    """
    fallback = by_rule(trace, evidence, taxonomy)
    if is_executed(evidence):
        return fallback
    told = render(
        PROMPTS[1],
        findings=render_findings(credit(trace, evidence)),
        verdicts=[v for v in verdicts if v.present is not None],
        steps=len(trace.episode.messages),
    )
    system = render(PROMPTS[0], categories=taxonomy.categories)  # the same for every episode: a server keeps it cached
    messages = ({"role": "system", "content": system}, {"role": "user", "content": told})
    form = orchestrator_form(tuple(taxonomy.codes), len(trace.episode.messages))
    answer, ledger = await ask_json(judge, messages, "orchestrator", form, max_tokens=160)
    if answer is None:
        return Merged(**{**fallback.__dict__, "ledger": ledger})
    primary = tuple(dict.fromkeys(answer.primary))[:MAX_PRIMARY]
    by_findings = () if fallback.rationale == UNEXPLAINED else fallback.categories
    named = {*primary, *by_findings, *(v.category for v in verdicts if v.present)}
    agreed = sum(bool(v.present) == (v.category in primary) for v in verdicts if v.present is not None)
    asked = sum(v.present is not None for v in verdicts)
    return Merged(
        categories=tuple(code for code in taxonomy.codes if code in named),
        primary=primary,
        step=answer.step,
        blame=answer.blame,
        rationale=shorten(answer.rationale, 400),
        confidence=round(agreed / asked, 3) if asked else fallback.confidence,
        ledger=ledger,
    )
