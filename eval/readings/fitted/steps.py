"""Features of the messages that may be the first cause, by group."""

import math
import re
from collections.abc import Callable, Iterator, Mapping

from eval.readings.fitted.failure_evidence import FailureEvidence
from eval.readings.fitted.failure_features import CODES, SOURCES, FeatureValue, kind_of_source
from fama.diagnosis.detectors.user import END_MARK
from fama.diagnosis.first_cause import AMOUNT, offered_at, proposed_at
from fama.diagnosis.orchestrator import weight
from fama.dialogue.language import sentences
from fama.dialogue.requests import turns_down
from fama.dialogue.turns import agrees, corrects

_COMMITS = re.compile(
    r"\b(proceed|confirm\w*|go(ing)? ahead|would you like (me )?to|shall i|should i|do you want|i(?:'ll| will))\b",
    re.IGNORECASE,
)
_ROW = re.compile(r"^\s*(?:[-*•|]|\d+[.)])", re.MULTILINE)


def candidate_steps(shown: FailureEvidence) -> list[int]:
    """Return the messages that may be the first cause: the agent's and the user's."""
    return [i for i, m in enumerate(shown.episode.messages) if m.role in ("assistant", "user")]


class Course:
    """Places in a dialogue that features of its messages are relative to."""

    def __init__(self, shown: FailureEvidence) -> None:
        trace = shown.trace
        bad = [one.call for one in shown.wrong if one.done] + list(shown.matching.extra)
        self.bad = {call.step for call in bad}
        self.tried = {one.call.step for one in shown.wrong if not one.done}
        self.proposed = {proposed_at(trace, call) for call in bad}
        self.offered = {offered_at(trace, call) for call in bad}
        self.answers = {step - 1 for step in self.bad if shown.episode.messages[step - 1].role == "user"}
        self.first_bad = min(self.bad | self.tried, default=None)
        self.first_write = min((call.step for call in trace.writes), default=None)
        self.calls: dict[int, list[int]] = {}
        for place, call in enumerate(trace.calls):
            self.calls.setdefault(call.step, []).append(place)
        keys = [(call.name, call.raw) for call in trace.calls]
        self.repeats = {c.step for place, c in enumerate(trace.calls) if keys[place] in keys[:place]}
        self.failed = {call.result_step for call in trace.calls if call.failed}
        self.read = {call.result_step for call in trace.calls if not trace.roles.writes(call.name)}
        self.refusals = [s for s in trace.spoken_steps if any(map(turns_down, sentences(shown.text(s))))]


def _rule(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield the distance of the message from the rule's, and the party that it is of."""
    at = shown.rule.step
    user = shown.episode.messages[step].role == "user"
    yield "rule's", float(step == at)
    yield "rule's, weight", float(step == at) * shown.rule.confidence
    yield "next to the rule's", float(at is not None and abs(step - at) == 1)
    yield "before the rule's", math.log1p(max(0, at - step)) if at is not None else 0.0
    yield "after the rule's", math.log1p(max(0, step - at)) if at is not None else 0.0
    yield "user", float(user)
    yield "user, rule blames the user", float(user and shown.rule.blame == "user")
    yield "agent, rule blames the user", float(not user and shown.rule.blame == "user")


def _findings(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield the findings at the message."""
    here = {kind_of_source(item.source) for item in shown.findings if item.step == step}
    for pattern in SOURCES:
        yield f"{pattern} here", float(pattern in here)
    every = [item.step for item in shown.findings if item.step is not None]
    yield "findings here", math.log1p(every.count(step))
    yield "strongest here", max((weight(i.source) for i in shown.findings if i.step == step), default=0.0)
    yield "first finding", float(bool(every) and step == min(every))


def _changes(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield flags of the messages in which changes that spoilt the data were made, offered and agreed to."""
    yield "bad change", float(step in course.bad)
    yield "failed try of a wanted change", float(step in course.tried)
    yield "proposes a bad change", float(step in course.proposed)
    yield "first offers a bad change", float(step in course.offered)
    yield "agrees to a bad change", float(step in course.answers)
    yield "first change", float(step == course.first_write)
    first = course.first_bad
    yield "after the first bad call", float(first is not None and step > first)
    yield "before the first bad call", math.log1p(max(0, first - step)) if first is not None else 0.0


def _acts(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield flags of what the message does: calls, errors, refusals, rows, sums, commitments, questions."""
    trace, message = shown.trace, shown.episode.messages[step]
    agent = message.role == "assistant"
    text = shown.text(step)
    calls = [trace.calls[place] for place in course.calls.get(step, ())]
    yield "looks up", float(any(not trace.roles.writes(call.name) for call in calls))
    yield "call fails", float(any(call.failed for call in calls))
    yield "repeats a call", float(step in course.repeats)
    yield "hands over", float(any(trace.roles.hands_over(call.name) for call in calls))
    yield "follows an error", float(agent and step - 1 in course.failed)
    yield "tells after looking up", float(agent and not calls and step - 1 in course.read)
    yield "refuses", float(step in course.refusals)
    yield "first refusal", float(bool(course.refusals) and step == course.refusals[0])
    yield "commits", float(agent and not calls and bool(_COMMITS.search(text)))
    rows = len(_ROW.findall(text)) if agent else 0
    yield "rows", math.log1p(rows)
    yield "sums", math.log1p(len(AMOUNT.findall(text))) if agent else 0.0
    yield "sum without source", float(step in shown.unsupported)
    yield "first sum without source", float(bool(shown.unsupported) and step == shown.unsupported[0])
    yield "user agrees", float(not agent and agrees(text))
    yield "user corrects", float(not agent and corrects(text))
    yield "user stops", float(not agent and bool(END_MARK.search(text)))
    yield "user asks", float(not agent and "?" in text)


def _place(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield the position of the message in the dialogue."""
    trace, end = shown.trace, len(shown.episode.messages)
    agent = shown.episode.messages[step].role == "assistant"
    yield "first turn of the user", float(step == trace.request_step)
    yield "last of the agent", float(step == trace.last_agent_step)
    yield "last of the user", float(bool(trace.user_steps) and step == trace.user_steps[-1])
    yield "share of the dialogue", step / end
    yield "square of it", (step / end) ** 2
    yield "before any look-up", float(not any(call.step < step for call in trace.calls))
    yield "agent, nothing changed", float(agent and not trace.writes)
    yield "last of the agent, nothing changed", float(step == trace.last_agent_step and not trace.writes)
    yield "user, unsaid", float(not agent and bool(shown.steps_of("user:unsaid")))


def _category(shown: FailureEvidence, course: Course, step: int) -> Iterator[FeatureValue]:
    """Yield the findings at the message of the rule's category and of others."""
    for code in CODES:
        here = [weight(item.source) for item in shown.findings if item.step == step and item.category == code]
        yield f"{code} here", max(here, default=0.0)
        yield f"{code} here as the rule says", max(here, default=0.0) * (shown.rule.primary[0] == code)


GROUPS: Mapping[str, Callable[[FailureEvidence, Course, int], Iterator[FeatureValue]]] = {
    "rule": _rule,
    "findings": _findings,
    "changes": _changes,
    "acts": _acts,
    "place": _place,
    "category": _category,
}


def step_features(shown: FailureEvidence) -> tuple[list[int], list[dict[str, float]]]:
    """Return the candidate messages and the features of each by name, ``group: feature``."""
    course = Course(shown)
    places = candidate_steps(shown)
    rows = [
        {f"{group}: {name}": value for group, read in GROUPS.items() for name, value in read(shown, course, step)}
        for step in places
    ]
    return places, rows
