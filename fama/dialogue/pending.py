"""Pending matters: questions without an answer, a change that comes next, the request that a record belongs to."""

import re

from fama.dialogue.calls import calls
from fama.dialogue.identity import identity_tools
from fama.dialogue.language import meaning, meanings, stem, without_negated, words
from fama.dialogue.objects import asked_words
from fama.dialogue.requests import Want, open_question, open_wants, questions, verb_of, wants
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import user_text, user_turns
from fama.dialogue.values import NUMBER, is_id, known_values, roots_of
from fama.episodes.state import VisibleState

_NUMERIC = re.compile(r"'type': '(?:integer|number)'")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][a-z]{2,}\b")
#: What says that a value is wanted without saying which.
_SOME = re.compile(r"\b(?:another|different|other|change|update|adjust)\b", re.IGNORECASE)


def change_ahead(state: VisibleState) -> bool:
    """Return whether a requested change is open and, identity being settled, something was looked up."""
    gates = {tool.name for tool in identity_tools(state)}
    reads = {tool.name for tool in views(state, "read")}
    settled = not gates
    for call in calls(state):
        if settled and call.name in reads - gates and call.succeeded:
            return bool(open_wants(state))
        settled = settled or (call.name in gates and call.succeeded)
    return False


def wants_of_record(state: VisibleState) -> tuple[Want, ...]:
    """Return the open requests that the last result fits best by their clauses; all when it fits none."""
    asked = open_wants(state)
    if len(asked) < 2 or not state.messages:
        return asked
    shown = {stem(word) for word in words((state.messages[-1].content or "").replace("_", " "))}
    scores = [len(asked_words(without_negated(want.clause)) & shown) for want in asked]
    return tuple(want for want, score in zip(asked, scores, strict=True) if score == max(scores))


def asked_about(state: VisibleState) -> tuple[Want, ...]:
    """Return a request for information as one for the tool that shows the record; none when it is unclear.

    The tool looks up one object by an id that does not say who the user is. Of several, the one that the
    user's words name alone. Beside changes, the question waits until they are done or refused.
    """
    if wants(state):
        clause = "" if open_wants(state) else open_question(state)
        tool = _record_tool(clause, state) if clause else None
        return (Want(tool, clause, 0),) if tool is not None else ()
    for index, text in user_turns(state):
        for clause in questions(state, index, text):
            tool = _record_tool(clause, state)
            return (Want(tool, clause, index),) if tool is not None else ()
    return ()


def unsaid(want: Want, state: VisibleState) -> tuple[str, ...]:
    """Return the parameters of a change that nobody has given a value for, as far as their forms tell.

    That is the id of somebody else while only the user's own is known and nobody is named, a number, or one of a few
    words where the request says only that something is to change.
    """
    said = user_text(state)
    used = {str(value) for call in calls(state) for value in call.arguments.values()}
    found = []
    for name, schema in want.tool.schema:
        if name not in want.tool.required:
            continue
        choices = " ".join(choice for parameter, choice in want.tool.enumerated if parameter == name)
        if is_id(name):
            missing = only_own(name, want, state) and not names_told(name, want, state)
        elif is_number(schema):
            missing = not set(NUMBER.findall(said)) - used
        else:
            missing = bool(choices) and bool(_SOME.search(want.clause)) and not meanings(choices) & meanings(said)
        if missing:
            found.append(name)
    return tuple(found)


def is_number(schema: str) -> bool:
    """Return whether a parameter of this schema, as text, is a number."""
    return bool(_NUMERIC.search(schema))


def only_own(parameter: str, want: Want, state: VisibleState) -> bool:
    """Return whether the only known values of an id are those that the user was verified by."""
    gates = {tool.name for tool in identity_tools(state)}
    made = [call for call in calls(state) if call.name in gates and parameter in call.arguments]
    own = {str(call.arguments[parameter]) for call in made}
    known = {found.value for found in known_values(parameter, want.tool, state)}
    return bool(known) and known <= own


def names_told(parameter: str, want: Want, state: VisibleState) -> tuple[str, ...]:
    """Return capitalised names in a request's clause and in answers to words of the agent about the id or the tool."""
    about = want.tool.name_stems | {meaning(root) for root in roots_of(parameter)}
    answers = (
        text
        for index, text in user_turns(state)
        if index > want.index and meanings(state.messages[index - 1].content or "") & about
    )
    return tuple(name for text in (want.clause, *answers) for name in _NAME.findall(text))


def open_questions(state: VisibleState) -> tuple[Want, ...]:
    """Return the questions on which nothing was said since their record was looked up, after the last change."""
    made = calls(state)
    changes = {tool.name for tool in views(state, "write")}
    since = max((call.step for call in made if call.name in changes and call.succeeded), default=-1)
    return tuple(
        want
        for want in asked_about(state)
        if not any(
            call.name == want.tool.name and call.step > since and call.succeeded and _told(call.step, state)
            for call in made
        )
    )


def _told(place: int, state: VisibleState) -> bool:
    return any(message.role == "assistant" and message.content for message in state.messages[place + 1 :])


def _record_tool(clause: str, state: VisibleState) -> ToolView | None:
    who = {name for tool in identity_tools(state) for name in tool.required}
    shown = [
        tool
        for tool in views(state, "read")
        if not tool.verifies and tool.required and all(map(is_id, tool.required)) and not who & set(tool.required)
    ]
    said = meanings(clause)
    named = [tool for tool in shown if tool.name_stems & said]
    elsewhere = any((tool.name_stems - {verb_of(tool)}) & said for tool in views(state, "write"))
    found = named or ([] if elsewhere else shown)
    return found[0] if len(found) == 1 else None
