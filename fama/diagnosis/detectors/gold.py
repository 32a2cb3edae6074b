"""Differences from the reference actions, and where a wrong value came from."""

import re
from collections.abc import Iterator

from fama.diagnosis.detectors.compare import (
    Difference,
    Matching,
    Reference,
    differences,
    match,
    references,
    same_object,
)
from fama.diagnosis.detectors.told import priced, untold
from fama.diagnosis.first_cause import offered_at, said_verbs, split_sentences, taken_at
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.requests import turns_down
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

#: kind of a wrong value → category of the shipped taxonomy
KINDS = {"wrong_row": "WRCO", "invented": "CM", "outdated": "CM", "misread": "CM", "missing": "IFU"}
#: what a wrong value of unknown origin may be
UNSOURCED = ("WRCO", "CM")
#: What will not happen, or not again afterwards, is no refusal.
_FORETELLS = re.compile(
    r"(?<!\bI )(?<!\bwe )\b(will not|won't)\b|\b(after(wards?| this| that)|again|no (further|more)|any further)\b",
    re.IGNORECASE,
)


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield missing, extra, forbidden and wrong changes, a wrong ending, and information never told."""
    if trace.episode.gold_actions is None:
        return
    wanted = references(trace.episode.gold_actions)
    changes = [action for action in wanted if trace.roles.writes(action.name)]
    found = match(changes, trace.writes)
    clean = True
    for evidence in _all(trace, found, {action.name for action in changes}):
        clean = False
        yield evidence
    yield from _ending(trace, wanted, found)
    detail = trace.episode.reward_detail
    if clean and detail.get("state") == 0.0 and trace.writes:
        first = trace.writes[0]  # the changes themselves are right: one of them was made without a yes
        yield Evidence(source="gold:unagreed", category="DCV", step=first.step, quote=first.quote())
    yield from untold(trace, clean)


def _all(trace: Trace, found: Matching, kinds: set[str]) -> Iterator[Evidence]:
    """Yield every difference. ``kinds`` are the tools of the reference's changes.

    A change too many of such a kind was made to the wrong object of several; one of another kind, or where nothing was
    to change, breaks a rule.
    """
    for _, call, differing in found.pairs:
        yield from _wrong(trace, call, differing)
    for reference in found.missing:
        yield from _missing(trace, reference, [call for _, call, _ in found.pairs if call.name == reference.name])
    right = [call for _, call, differing in found.pairs if not differing]
    for call in found.extra:
        if any(later.order > call.order and _done_over(call, later) for later in right):
            continue  # undone or done over: the right change followed
        if (sums := list(priced(trace, call))) and not kinds:
            yield from sums  # a wrong sum explains why the user agreed to what it did not want
            continue
        kind = "forbidden" if not kinds else "wrong_object" if call.name in kinds else "extra"
        category = "WRCO" if kind == "wrong_object" else "DCV"
        yield Evidence(source=f"gold:{kind}", category=category, step=offered_at(trace, call), quote=call.quote())


def _wrong(trace: Trace, call: Call, differing: list[Difference]) -> Iterator[Evidence]:
    """Yield the wrong values of a change, of each kind the one that was taken first."""
    kinds: dict[str, list[tuple[int, Difference]]] = {}
    for difference in differing:
        kind = kind_of(trace, difference, call.step)
        corrected = trace.sources.last(difference.gold, call.step, "user") if kind == "outdated" else None
        taken = taken_at(trace, call, difference.actual, difference.gold, corrected, difference.path)
        kinds.setdefault(kind, []).append((taken, difference))
    if len(kinds) > 1 and all(isinstance(item.actual, int | float) for _, item in kinds.get("invented", ())):
        kinds.pop("invented", None)  # sums that follow from another wrong value
    if len(kinds) > 1:
        kinds.pop("misread", None)
    for kind, items in kinds.items():
        taken, difference = min(items, key=lambda item: item[0])
        quote = shorten(f"{call.name}: {difference.path} = {difference.actual!r}, expected {difference.gold!r}", 240)
        for category in UNSOURCED if kind == "unsourced" else (KINDS[kind],):
            yield Evidence(source=f"gold:{kind}", category=category, step=taken, quote=quote)
        if kind == "missing":
            yield from _refused(trace, call.name)


def kind_of(trace: Trace, difference: Difference, step: int) -> str:
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
        if corrected is not None and corrected > by_user:
            return "outdated"
        return "wrong_row" if _is_echo(trace, wrong, step) else "misread"
    if trace.sources.last(wrong, step, "tool") is not None:
        return "wrong_row"
    if not trace.has_dialogue:
        return "unsourced"
    return "misread" if trace.sources.supported(wrong, step) else "invented"


def _is_echo(trace: Trace, wrong: object, step: int) -> bool:
    """Return whether the user only repeated a value: an output had it first, and the agent offered it."""
    kinds = list(dict.fromkeys(seen.kind for seen in trace.sources.find(wrong, step)))
    return kinds[:2] == ["tool", "agent"] or kinds[:3] == ["system", "tool", "agent"]


def _is_choice(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return abs(value) < 100 and float(value).is_integer()
    text = str(value)
    return not re.search(r"\d|@", text) or bool(re.fullmatch(r"\d", text))


def _missing(trace: Trace, reference: Reference, done: list[Call]) -> Iterator[Evidence]:
    """Yield a change never made: at the end, or where changes of its kind were first offered without it."""
    tried = [call for call in trace.calls if call.name == reference.name and call.failed]
    if tried:
        # it was tried and answered by an error: the wrong value of the last try is the cause, where it was first tried
        for difference in differences(reference.arguments, tried[-1].arguments):
            first = next(c for c in tried if difference in differences(reference.arguments, c.arguments))
            yield from (e for e in _wrong(trace, first, [difference]) if e.source != "gold:missing")
    end = next((c.step for c in trace.calls if trace.roles.closes(c.name)), trace.last_agent_step)
    if done and not tried:
        end = min(offered_at(trace, call) for call in done)
    quote = f"never done: {reference.name}({', '.join(f'{k}={v}' for k, v in reference.arguments.items())})"
    yield Evidence(source="gold:missing", category="IFU", step=end, quote=shorten(quote, 240))
    if not tried:
        yield from _refused(trace, reference.name)


def _refused(trace: Trace, tool: str) -> Iterator[Evidence]:
    """Yield the first sentence, to the user or in the closing call, that turned down what a tool should have done.

    The sentence speaks of that change: what is said of another one (no exchange, where a return was due) may be true.
    """
    verbs = said_verbs(tool)
    for step, message in enumerate(trace.episode.messages):
        if message.role != "assistant":
            continue
        ends = [c.function.arguments for c in message.tool_calls or () if trace.roles.closes(c.function.name)]
        said = " ".join(ends) if message.tool_calls else spoken(message)
        for sentence in split_sentences(said):
            if turns_down(sentence) and verbs.search(sentence) and not _FORETELLS.search(sentence):
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
    differing = [d for d in differences(last.arguments, call.arguments) if _is_choice(d.gold)]
    if last.name != call.name or differing:
        quote = shorten(f"{call.quote(100)}, expected {last.name}({last.arguments})", 240)
        yield Evidence(source="gold:closing", category="DCV", step=call.step, quote=quote)
    elif trace.episode.reward_detail.get("closing", 1.0) < 1.0 and not found.pairs:
        quote = f"{call.quote(100)} without looking at what the rules depend on"
        yield Evidence(source="gold:unchecked", category="DCV", step=call.step, quote=quote)


def _done_over(call: Call, later: Call) -> bool:
    return call.name == later.name and same_object(call.arguments, later.arguments)
