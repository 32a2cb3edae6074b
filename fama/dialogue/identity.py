"""The user's identity: the tools that establish it, and whether they have."""

from fama.dialogue.calls import Call
from fama.dialogue.facts import normal_token
from fama.dialogue.language import name_words
from fama.dialogue.policy import asks_identity
from fama.dialogue.tools import ToolView, views
from fama.dialogue.values import is_id, record_of
from fama.episodes.state import VisibleState


def identity_tools(state: VisibleState) -> tuple[ToolView, ...]:
    """Return the tools that verify the user; where none does and the policy asks, those that find an id without one."""
    if not asks_identity(state.policy):
        return ()
    reads = views(state, "read")
    if verifying := tuple(tool for tool in reads if tool.verifies):
        return verifying
    return tuple(
        tool for tool in reads if tool.required and "id" in name_words(tool.name) and not any(map(is_id, tool.required))
    )


def foreign_record(state: VisibleState, made: tuple[Call, ...]) -> str:
    """Return whose record, by the id's name, the last look-up shows when not the verified user's; else nothing."""
    verified = {
        (name, normal_token(str(value)))
        for call in made
        for tool in identity_tools(state)
        if tool.name == call.name and tool.verifies and call.succeeded
        for name, value in call.arguments.items()
        if is_id(name)
    }
    shown = record_of(made[-1]) if made else {}
    for name in dict.fromkeys(name for name, _ in verified):
        if shown.get(name) is not None and (name, normal_token(str(shown[name]))) not in verified:
            return " ".join(name_words(name)[:-1])
    return ""


def is_identified(state: VisibleState, made: tuple[Call, ...]) -> bool:
    """Return whether an identity tool succeeded, or there is none."""
    names = {tool.name for tool in identity_tools(state)}
    return not names or any(call.name in names and call.succeeded for call in made)
