"""Differences from the reference actions, and where a wrong value came from."""

import re
from collections.abc import Iterator

from fama.diagnosis.detectors.action_differences import (
    Difference,
    Matching,
    Reference,
    argument_differences,
    match,
    references,
    same_object,
)
from fama.diagnosis.first_cause import (
    answered_at,
    computed_at,
    offered_at,
    said_first,
    split_sentences,
    taken_at,
)
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.requests import turns_down
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

#: kind of a wrong value → category of the shipped taxonomy
KINDS = {"wrong_row": "WRCO", "invented": "CM", "outdated": "CM", "misread": "CM", "missing": "IFU"}
#: what a wrong value of unknown origin may be
UNSOURCED = ("WRCO", "CM")
_TOLD = re.compile(r"output|info|told|inform|communicat", re.IGNORECASE)
#: The user may go ahead under a condition only, so that a wrong sum or a missing word makes it agree.
_CONDITIONS = re.compile(
    r"\b(only if|if and only if|unless|if (it|that|this|the|there|you|they|not)|less than|more than|at most|up to|"
    r"under \$|below \$|otherwise|as long as)\b",
    re.IGNORECASE,
)
_NOT_TOLD = re.compile(
    r"\b(not (provided|available|listed|included|specified)|(cannot|can't|unable to|not able to|don't) "
    r"(provide|access|have access|tell|give|see))\b",
    re.IGNORECASE,
)
LIMIT_REASONS = re.compile(r"max|limit|step|token|budget|loop|repeat|timeout|seconds|wall", re.IGNORECASE)


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield missing, extra, forbidden and wrong changes, a wrong ending, and information never told."""
    if trace.episode.gold_actions is None:
        return
    wanted = references(trace.episode.gold_actions)
    changes = [action for action in wanted if trace.roles.writes(action.name)]
    found = match(changes, trace.writes)
    clean = True
    for evidence in _all(trace, found, bool(changes)):
        clean = False
        yield evidence
    yield from _ending(trace, wanted, found)
    detail = trace.episode.reward_detail
    if clean and detail.get("state") == 0.0 and trace.writes:
        first = trace.writes[0]  # the changes themselves are right: one of them was made without a yes
        yield Evidence(source="gold:unagreed", category="DCV", step=first.step, quote=first.quote())
    yield from _untold(trace, clean)


def _all(trace: Trace, found: Matching, any_change: bool) -> Iterator[Evidence]:
    for _, call, differing in found.pairs:
        yield from _wrong(trace, call, differing)
    for reference in found.missing:
        yield from _missing(trace, reference)
    right = [call for _, call, differing in found.pairs if not differing]
    for call in found.extra:
        if any(later.order > call.order and _done_over(call, later) for later in right):
            continue  # undone or done over: the right change followed
        kind = "extra" if any_change else "forbidden"
        yield Evidence(source=f"gold:{kind}", category="DCV", step=offered_at(trace, call), quote=call.quote())
        if _CONDITIONS.search(trace.episode.instruction or ""):
            if (told := computed_at(trace)) is not None and told[0] < call.step:
                quote = shorten(f"{told[1]} stands in no output; by it the user agreed to {call.quote(120)}", 240)
                yield Evidence(source="gold:computed", category="WRCO", step=told[0], quote=quote)


def _wrong(trace: Trace, call: Call, differing: list[Difference]) -> Iterator[Evidence]:
    kinds: dict[str, Difference] = {}
    for difference in differing:
        kinds.setdefault(mistake_kind(trace, difference, call.step), difference)
    if len(kinds) > 1 and "invented" in kinds and isinstance(kinds["invented"].actual, int | float):
        del kinds["invented"]  # a sum that follows from another wrong value
    if len(kinds) > 1:
        kinds.pop("misread", None)
    for kind, difference in kinds.items():
        quote = shorten(f"{call.name}: {difference.path} = {difference.actual!r}, expected {difference.gold!r}", 240)
        for category in UNSOURCED if kind == "unsourced" else (KINDS[kind],):
            corrected = trace.sources.last(difference.gold, call.step, "user") if kind == "outdated" else None
            taken = taken_at(trace, call, difference.actual, difference.gold, corrected)
            yield Evidence(source=f"gold:{kind}", category=category, step=taken, quote=quote)


def mistake_kind(trace: Trace, difference: Difference, step: int) -> str:
    """Return the kind of mistake that a wrong value is, by where it came from.

    Left out → missing. In a user's turn → outdated if a later turn of the user has the right one, else misread.
    In a tool's output → wrong row. Nowhere but in the agent's own words → invented. Choices such as yes, no, a
    class or a small count stand everywhere and nowhere: misread. In a log without dialogue: unsourced, if the user
    was not told to say it.
    """
    wrong, right = difference.actual, difference.gold
    if wrong is None or wrong == "":
        return "missing"
    if _is_choice(wrong):
        return "misread"
    by_user = trace.sources.last(wrong, step, "user")
    if by_user is not None:
        corrected = None if right is None else trace.sources.last(right, step, "user")
        return "outdated" if corrected is not None and corrected > by_user else "misread"
    if trace.sources.last(wrong, step, "tool") is not None:
        return "wrong_row"
    if not trace.has_dialogue:
        return "unsourced"
    return "misread" if trace.sources.supported(wrong, step) else "invented"


def _is_choice(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return abs(value) < 100 and float(value).is_integer()
    text = str(value)
    return not re.search(r"\d|@", text) or bool(re.fullmatch(r"\d", text))


def _missing(trace: Trace, reference: Reference) -> Iterator[Evidence]:
    tried = [call for call in trace.calls if call.name == reference.name and call.failed]
    if tried:
        # it was tried and answered by an error: the wrong value of the last try is the cause, where it was first tried
        for difference in argument_differences(reference.arguments, tried[-1].arguments):
            first = next(c for c in tried if difference in argument_differences(reference.arguments, c.arguments))
            yield from (e for e in _wrong(trace, first, [difference]) if e.source != "gold:missing")
    end = next((c.step for c in trace.calls if trace.roles.closes(c.name)), trace.last_agent_step)
    quote = f"never done: {reference.name}({', '.join(f'{k}={v}' for k, v in reference.arguments.items())})"
    yield Evidence(source="gold:missing", category="IFU", step=end, quote=shorten(quote, 240))
    if not tried:
        yield from _refused(trace)


def _refused(trace: Trace) -> Iterator[Evidence]:
    """Yield the first sentence, to the user or in the closing call, that turned an allowed request down by a rule."""
    for step, message in enumerate(trace.episode.messages):
        if message.role != "assistant":
            continue
        ends = [c.function.arguments for c in message.tool_calls or () if trace.roles.closes(c.function.name)]
        said = " ".join(ends) if message.tool_calls else spoken(message)
        for sentence in split_sentences(said):
            if turns_down(sentence):
                yield Evidence(source="gold:refused", category="DCV", step=step, quote=shorten(sentence, 240))
                return


def _ending(trace: Trace, wanted: list[Reference], found: Matching) -> Iterator[Evidence]:
    """Yield an ending other than the reference's: none, refused instead of served, served instead of refused."""
    expected = [action for action in wanted if trace.roles.closes(action.name)]
    if "end" not in trace.roles.stated.complete or not expected or trace.roles.hands_over(expected[-1].name):
        return
    last = expected[-1]
    actual = [call for call in trace.calls if trace.roles.closes(call.name) and not call.failed]
    if not actual:
        quote = f"never called: {last.name}"
        yield Evidence(source="gold:unclosed", category="IFU", step=trace.last_agent_step, quote=quote)
        return
    call = actual[-1]
    differing = [d for d in argument_differences(last.arguments, call.arguments) if _is_choice(d.gold)]
    if last.name != call.name or differing:
        quote = shorten(f"{call.quote(100)}, expected {last.name}({last.arguments})", 240)
        yield Evidence(source="gold:closing", category="DCV", step=call.step, quote=quote)
    elif trace.episode.reward_detail.get("closing", 1.0) < 1.0 and not found.pairs:
        quote = f"{call.quote(100)} without looking at what the rules depend on"
        yield Evidence(source="gold:unchecked", category="DCV", step=call.step, quote=quote)


def _untold(trace: Trace, clean: bool) -> Iterator[Evidence]:
    """Yield what was never told: told as another number or name, denied though an output held it, or left out."""
    detail = trace.episode.reward_detail
    untold = [key for key, value in detail.items() if _TOLD.search(key) and value < 1.0]
    limited = bool(LIMIT_REASONS.search(trace.episode.outcome.reason))
    unsaid = unsaid_outputs(trace)
    if not (untold or unsaid) and (not clean or detail or limited):
        return
    what = ", ".join(untold) or ("required outputs" if unsaid else "changes are right, the task still failed")
    if unsaid:
        what = shorten(f"{what}: never said {', '.join(unsaid)}", 240)
        if (denied := said_first(trace, _NOT_TOLD)) is not None:
            quote = shorten(f"{denied[1]} (never said {', '.join(unsaid)})", 240)
            yield Evidence(source="gold:denied", category="IFU", step=denied[0], quote=quote)
    yield Evidence(source="gold:untold", category="IFU", step=trace.last_agent_step, quote=what)
    for text in unsaid:
        if (step := answered_at(trace, text)) is not None:
            quote = shorten(f"{text} was asked for; the answer: {spoken(trace.episode.messages[step])}", 240)
            yield Evidence(source="gold:told_wrong", category="CM", step=step, quote=quote)
    if unsaid and (found := computed_at(trace)) is not None:
        step, number = found
        quote = shorten(f"{number} stands in no output; never said {', '.join(unsaid)}", 240)
        yield Evidence(source="gold:computed", category="WRCO", step=step, quote=quote)


def unsaid_outputs(trace: Trace) -> tuple[str, ...]:
    """Return the required outputs that the agent never said, compared as τ-bench does: without case and commas."""
    said = "\n".join(spoken(m) for m in trace.episode.messages if m.role == "assistant").casefold().replace(",", "")
    wanted = trace.episode.required_outputs or ()
    return tuple(text for text in wanted if text.casefold().replace(",", "") not in said)


def _done_over(call: Call, later: Call) -> bool:
    return call.name == later.name and same_object(call.arguments, later.arguments)
