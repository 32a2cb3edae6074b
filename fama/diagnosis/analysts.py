"""Four independent judges, one per category: present or not, at which message, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import Field, create_model

from fama.diagnosis.judging import JudgeForm, ask_json
from fama.diagnosis.rendering import render_episode, render_findings
from fama.diagnosis.taxonomy import Category, Taxonomy
from fama.dialogue.turns import shorten
from fama.episodes.records import Episode, Evidence, LedgerRow
from fama.models.base import ChatModel, billed_after
from fama.prompts import render
from fama.text.tokens import estimate_tokens

PROMPTS = ("diagnosis/analyst_system.v1", "diagnosis/analyst_prefix.v1", "diagnosis/analyst_question.v1")


@dataclass(frozen=True)
class Verdict:
    """One analyst's answer. ``present`` None is unknown: the reply could not be parsed, and says nothing."""

    category: str
    present: bool | None
    step: int | None = None
    reason: str = ""


class AnalystForm(JudgeForm):
    """An analyst's answer; the reason comes first, so that the verdict follows from it."""

    reason: str
    present: bool
    step: int


@lru_cache(maxsize=64)
def analyst_form(steps: int) -> type[AnalystForm]:
    """Return the form for an episode of that many messages: the step is one of them."""
    return create_model("AnalystForm", __base__=AnalystForm, step=(int, Field(ge=0, le=max(steps - 1, 0))))


def prompts(
    episode: Episode, categories: Sequence[Category], evidence: Sequence[Evidence] | None, context_tokens: int
) -> list[tuple[dict[str, str], ...]]:
    """Return the messages for each category, equal but for the last lines: a server's prefix cache serves the rest.

    ``evidence`` None withholds the detectors' findings; a long episode is then cut without knowing what they point at.
    """
    system = render(PROMPTS[0])
    findings = None if evidence is None else render_findings(evidence)
    questions = [render(PROMPTS[2], category=category) for category in categories]
    spent = estimate_tokens(system) + max(map(estimate_tokens, questions)) + estimate_tokens(findings or "") + 300
    focus = {item.step for item in evidence or () if item.step is not None}
    story = render_episode(episode, max(context_tokens - spent, 200), focus)
    prefix = render(PROMPTS[1], story=story, findings=findings)
    return [
        ({"role": "system", "content": system}, {"role": "user", "content": f"{prefix}\n\n{question}"})
        for question in questions
    ]


async def analyse(
    episode: Episode,
    taxonomy: Taxonomy,
    judge: ChatModel,
    evidence: Sequence[Evidence] | None,
    context_tokens: int = 6000,
) -> tuple[tuple[Verdict, ...], tuple[LedgerRow, ...]]:
    """Ask for every category one after the other, so that each finds the prefix cached.

    Raises:
        ModelError: the endpoint failed after all retries; ``billed`` of a ``CallFailed`` holds the calls before, too.
    """
    verdicts: list[Verdict] = []
    ledger: list[LedgerRow] = []
    steps = len(episode.messages)
    asked = prompts(episode, taxonomy.categories, evidence, context_tokens)
    for category, messages in zip(taxonomy.categories, asked, strict=True):
        with billed_after(ledger):
            answer, rows = await ask_json(judge, messages, "analyst", analyst_form(steps), max_tokens=120)
        ledger += rows
        if answer is None:
            verdicts.append(Verdict(category.code, None))
        else:
            reason = shorten(answer.reason, 300)
            verdicts.append(Verdict(category.code, answer.present, answer.step, reason))
    return tuple(verdicts), tuple(ledger)


def as_evidence(verdicts: Sequence[Verdict]) -> tuple[Evidence, ...]:
    """Return the categories that analysts found present, as findings."""
    return tuple(
        Evidence(source=f"analyst:{v.category}", category=v.category, step=v.step, quote=v.reason)
        for v in verdicts
        if v.present
    )
