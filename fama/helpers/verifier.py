"""Verifier: what has just gone wrong or is about to, against what the user and the tools said."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from fama.dialogue.calls import Call, calls
from fama.dialogue.facts import normal_token, quote
from fama.dialogue.identity import identity_tools, is_identified
from fama.dialogue.language import stem, words
from fama.dialogue.objects import last_pointed, listed_table, pointed_row
from fama.dialogue.pending import asked_about, wants_of_record
from fama.dialogue.policy import asks_confirmation, relevance, rule_verdict, rules
from fama.dialogue.requests import Want, asks_change, is_done, is_refused, needs_of, open_wants, serves_record, wants
from fama.dialogue.shown_records import Shown, about, known_words
from fama.dialogue.tools import views
from fama.dialogue.turns import (
    given_before_user,
    is_led,
    last_correction,
    last_words,
    noted_texts,
    tool_spoke_last,
    turn_accepts,
    turn_agrees,
    user_spoke_last,
    user_text,
    user_turns,
)
from fama.dialogue.values import is_id, is_known, is_new, known_values, mentioned, record_of
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.dce import NOTE as RULE
from fama.helpers.forms import ASK_YES, Candidate, make, refuse_options
from fama.settings import Form

RETRY = "Call {tool} again with the same arguments."
IDENTITY = "Suggested next tool: {tool}, before anything else."
ASK_IDENTITY = "Suggested next tool: respond, to ask for {parameters}."
CALL_WITH = "Call {tool} again with {parameter} {value}."
#: At the user's turn the tool stays unnamed: a small model calls what is named (docs/lab-log.md).
ASK_AGAIN = "The user now says: {said}. Suggested next tool: respond, to ask for a yes to that."
CALL_ONE_OF = "Call {tool} again with {parameter} {values}, as the user means it."
CLOSE = "Suggested next tool: {tool} with {parameter} {value}."

TOKEN_CAP = 64
#: An error that lists what an argument may be.
_ONE_OF = re.compile(r"\b(?:must be |be |is not |choose |use )?(?:one|any) of:? (?P<values>[^.;{}\n]{3,200})", re.I)
_MOST_VALUES = 6
_REFUSED = frozenset(map(stem, ("refused", "rejected", "declined", "denied", "unresolved")))


def write(state: VisibleState) -> Iterator[Candidate]:
    """Yield the first finding: a busy tool, no identity, a wrong id, no yes, a refusal closed as done."""
    made = calls(state)
    if not is_identified(state, made):
        yield from _identity(state, made)
    if not made:
        return
    if tool_spoke_last(state):
        if made[-1].busy:
            busy = sum(call.busy for call in made if call.name == made[-1].name)
            yield Candidate(RETRY.format(tool=made[-1].name), busy)
        elif not made[-1].succeeded:
            if _made_unasked(made, state):
                yield _once_a_turn(state, ASK_YES.format(tool=made[-1].name))
            yield from _outside(state, made) if _ONE_OF.search(made[-1].result or "") else _miscopied(state, made[-1])
        else:
            yield from _wrong_id(state, made)
    else:
        yield from _refused(state, made)
    yield from _unconfirmed(state, made)


def _identity(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """Yield what identity needs, if nothing was asked for yet or a call strayed or had details nobody gave."""
    gates = identity_tools(state)
    leading = [
        *gates,
        *(
            tool
            for tool in views(state, "read")
            if not any(map(is_id, tool.required)) and any(tool.name_stems & gate.stems for gate in gates)
        ),
    ]
    names = {tool.name for tool in leading}
    strayed = bool(made) and made[-1].name not in names
    if made and not strayed and made[-1].succeeded:
        return
    asked = {name: tool for tool in leading for name in tool.required if not is_id(name)}
    if asked and not any(is_known(name, tool, state) for name, tool in asked.items()):
        parameters = " and ".join(name.replace("_", " ") for name in reversed(asked))
        yield _once_a_turn(state, ASK_IDENTITY.format(parameters=parameters))
    elif strayed:
        ready = (tool for tool in gates if all(is_known(name, tool, state) for name in tool.required))
        yield Candidate(IDENTITY.format(tool=next(ready, gates[0]).name))


def _miscopied(state: VisibleState, call: Call) -> Iterator[Candidate]:
    """Yield the value that the user gave, where a call failed on almost the same that nobody gave.

    A value that the parameter's enumeration allows was chosen, not copied.
    """
    allowed = {pair for tool in views(state) if tool.name == call.name for pair in tool.enumerated}
    seen = " ".join(message.content or "" for message in state.messages[: call.step]).casefold()
    given = [word.strip(".,;:!?\"'()") for _, text in user_turns(state) for word in text.split()]
    for parameter, value in call.arguments.items():
        if not isinstance(value, str) or (parameter, value) in allowed:
            continue
        if len(value) > 3 and " " not in value and f" {value.casefold()}" not in f" {seen}":
            if close := get_close_matches(value, given, n=1, cutoff=0.75):
                yield Candidate(CALL_WITH.format(tool=call.name, parameter=parameter, value=quote(close[0])))


def _outside(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """Yield the values that an error says an argument must be one of, where the call gave another.

    What the object has already is no change; of the others, one that the user or the agreed offer names is meant.
    """
    call = made[-1]
    if (found := _ONE_OF.search(call.result or "")) is None:
        return
    values = [value.strip(" \"'[]()") for value in re.split(r",|\bor\b|\band\b", found["values"])]
    values = list(dict.fromkeys(value for value in values if value))[:_MOST_VALUES]
    said = {stem(word) for text in (last_words(state), user_text(state)) for word in words(text)}
    for parameter, value in call.arguments.items():
        if not re.search(rf"\b{re.escape(parameter)}\b", call.result or "") or len(values) < 2 or value in values:
            continue
        records = (record_of(one) for one in reversed(made) if one.succeeded)
        present = next((record[parameter] for record in records if parameter in record), None)
        left = [one for one in values if one != present]
        named = [one for one in left if stem(one) in said]
        left = named if len(named) == 1 else left
        if len(left) == 1:
            yield Candidate(CALL_WITH.format(tool=call.name, parameter=parameter, value=quote(left[0])))
        else:
            listed = f"{', '.join(map(quote, left[:-1]))} or {quote(left[-1])}"
            yield Candidate(CALL_ONE_OF.format(tool=call.name, parameter=parameter, values=listed))


def _wrong_id(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """Yield the id that the user named or described, where the last look-up took another one."""
    tool = next((tool for tool in views(state, "read") if tool.name == made[-1].name), None)
    used = {normal_token(str(value)) for call in made for value in call.arguments.values()}
    needed = {name for want in open_wants(state) for name in needs_of(want)}
    for parameter, value in made[-1].arguments.items():
        if tool is None or parameter not in needed or is_new(parameter) or mentioned(str(value), state):
            continue
        named = [found for found in known_values(parameter, tool, state) if found.by_user]
        unused = [found.value for found in named if normal_token(found.value) not in used]
        better = unused[0] if unused else _described(parameter, str(value), made[:-1], state)
        if better and normal_token(better) not in used:
            yield Candidate(CALL_WITH.format(tool=tool.name, parameter=parameter, value=quote(better)))


def _described(parameter: str, value: str, earlier: tuple[Call, ...], state: VisibleState) -> str:
    """Return the id of the row that fits the user's words, when the one taken stands in the same table."""
    for call in reversed(earlier):
        rows = [row for row in listed_table(call.result) if parameter in row.fields]
        if any(normal_token(str(row.fields[parameter])) == normal_token(value) for row in rows):
            best = pointed_row(rows, state)
            return str(best.fields[parameter]) if best else ""
    return ""


def _unconfirmed(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """Yield a question for a yes: a change is ahead, all it needs is known, no rule forbids it, none has it.

    Silent where another helper has just said what comes next, or which rule to keep first.
    """
    if not made[-1].succeeded or not asks_confirmation(state.policy) or is_led(state, RULE):
        return
    tools = {tool.name: tool for tool in views(state, "read")}
    last = tools.get(made[-1].name)
    if last is None or last.verifies:
        return
    for want in wants_of_record(state) if tool_spoke_last(state) else open_wants(state):
        needs = needs_of(want)
        objects = _objects(want, made, state)
        if not objects:
            continue
        if objects[-1] < len(made) - 1:  # after the object came what the change may choose from, or something else
            needs = tuple(name for name in needs if not is_new(name))
            if needs == needs_of(want):
                continue
        ready = all(is_known(name, want.tool, state) for name in needs)
        if not ready or _has_yes(want, made, state) or _forbidden(want, made, objects[-1], state):
            continue
        ask = ASK_YES.format(tool=want.tool.name)
        if user_spoke_last(state) and (any(map(is_new, needs_of(want))) or ask in noted_texts(state, "Verifier")):
            ask = ASK_AGAIN.format(said=quote(user_turns(state)[-1][1].rstrip(". "), 90))
        yield _once_a_turn(state, ask)
        return


def _objects(want: Want, made: tuple[Call, ...], state: VisibleState) -> list[int]:
    """Return the places of the look-ups that show a change's object: its record, or a list where no tool shows one."""
    tools = {tool.name: tool for tool in views(state, "read")}
    if any(serves_record(tool, want) for tool in tools.values()):
        return [i for i, call in enumerate(made) if call.name in tools and serves_record(tools[call.name], want)]
    if not is_identified(state, made) or want.rivals:
        return []
    return [
        i
        for i, call in enumerate(made)
        if call.name in tools
        and any(name in row.fields for row in listed_table(call.result) for name in needs_of(want))
    ]


def _made_unasked(made: tuple[Call, ...], state: VisibleState) -> bool:
    """Return whether the last call tried a change that nobody has said yes to, so that it should not be tried again."""
    tool = next((tool for tool in views(state, "write") if tool.name == made[-1].name), None)
    return (
        tool is not None
        and asks_confirmation(state.policy)
        and is_identified(state, made)
        and not _has_yes(Want(tool, "", 0), made, state)
    )


def _has_yes(want: Want, made: tuple[Call, ...], state: VisibleState) -> bool:
    """Return whether the user said yes since the request, the last change and their last correction."""
    turns = user_turns(state)
    changes = {tool.name for tool in views(state, "write")}
    done = max((call.step for call in made if call.name in changes and call.succeeded), default=0)
    taken_back = turns[last_correction(state)][0] if turns else 0
    return any(index > max(want.index, done, taken_back) and turn_agrees(state, index) for index, _ in turns)


def _refused(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """Yield the closing of a refused case: nothing was changed, and every request was refused."""
    asked = (*wants(state), *asked_about(state))
    if not asked or not all(is_refused(want, state) for want in asked) or asks_change(state):
        return
    if (
        any(is_done(want, made) for want in asked)
        or "?" in last_words(state)
        or not turn_accepts(state, user_turns(state)[-1][0])
    ):
        return
    for tool in views(state, "close"):
        for parameter, value in tool.enumerated:
            if stem(value) in _REFUSED:
                yield Candidate(CLOSE.format(tool=tool.name, parameter=parameter, value=quote(value)))


def _once_a_turn(state: VisibleState, text: str) -> Candidate:
    return Candidate(text, given_before_user(state, "Verifier", text) + 1)


def _forbidden(want: Want, made: tuple[Call, ...], place: int, state: VisibleState) -> bool:
    """Return whether a rule forbids changing the object looked up at ``place``, or the choice in the last list."""
    shown, worded = about(want, made[: place + 1], state), known_words(made, state)
    if place < len(made) - 1 and (choice := last_pointed(listed_table(made[-1].result), state)) is not None:
        shown = Shown([*shown.records, choice.fields], shown.rows)
    return any(
        relevance(rule, want, state) and rule_verdict(rule, shown.under(rule), worded) == "broken"
        for rule in rules(state.policy)
    )


def _refused_call(state: VisibleState) -> dict[str, object] | None:
    """Return the tool whose call has just failed, and whether it was only busy."""
    made = calls(state)
    if not made or not tool_spoke_last(state) or not made[-1].failed:
        return None
    return {"tool": made[-1].name, "busy": made[-1].busy}


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build Verifier in one of its forms; no options."""
    refuse_options("Verifier", options)
    return make(
        "Verifier",
        ("DCV", "CM"),
        does="checks the last step for errors and wrong objects.",
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=2400,
        gate=lambda state: bool(calls(state)),
        about=_refused_call,
    )
