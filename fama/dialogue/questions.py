"""Requests for information: the record that a user asks about when no change is asked for."""

from fama.dialogue.history import calls, user_turns
from fama.dialogue.identity import identity_tools
from fama.dialogue.language import clauses, meanings
from fama.dialogue.requests import Want, informs, open_question, open_wants, verb_of, wants
from fama.dialogue.tools import ToolView, views
from fama.dialogue.values import is_id
from fama.episodes.state import VisibleState


def asked_about(state: VisibleState) -> tuple[Want, ...]:
    """A request for information as one for the tool that shows the record; none when it is unclear.

    The tool looks up one object by an id that does not say who the user is. Of several, the one that the
    user's words name alone. Beside changes, the question waits until they are done or refused.
    """
    if wants(state):
        clause = "" if open_wants(state) else open_question(state)
        tool = _record_tool(clause, state) if clause else None
        return (Want(tool, clause, 0),) if tool is not None else ()
    for index, text in user_turns(state):
        for clause in clauses(text):
            if informs(clause):
                tool = _record_tool(clause, state)
                return (Want(tool, clause, index),) if tool is not None else ()
    return ()


def open_questions(state: VisibleState) -> tuple[Want, ...]:
    """Those that nothing was said about since their record was looked up, after the last change."""
    made = calls(state)
    changes = {tool.name for tool in views(state, "write")}
    since = max((call.index for call in made if call.name in changes and not call.failed), default=-1)
    return tuple(
        want
        for want in asked_about(state)
        if not any(
            call.name == want.tool.name and call.index > since and not call.failed and _told(call.index, state)
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
