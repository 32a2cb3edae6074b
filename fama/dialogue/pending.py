"""Whether a change comes next, and which of the requests the record just shown belongs to."""

from fama.dialogue.history import calls
from fama.dialogue.identity import identity_tools
from fama.dialogue.language import stem, without_negated, words
from fama.dialogue.requests import Want, open_wants
from fama.dialogue.rows import asked_words
from fama.dialogue.tools import views
from fama.episodes.state import RESPOND, VisibleState


def is_led(state: VisibleState, *wordings: str) -> bool:
    """Whether a note of this very decision names a tool already: of two suggestions a small model follows the first.

    ``wordings`` are notes that lead without a tool, up to their first field.
    """
    leads = (*state.tool_names(), RESPOND, *(wording.split("{")[0] for wording in wordings))
    return any(turn == state.turn and any(lead in note.text for lead in leads) for turn, note in state.noted)


def change_ahead(state: VisibleState) -> bool:
    """Whether a change that the user asked for is open and, their identity being settled, something was looked up."""
    gates = {tool.name for tool in identity_tools(state)}
    reads = {tool.name for tool in views(state, "read")}
    settled = not gates
    for call in calls(state):
        if settled and call.name in reads - gates and not call.failed:
            return bool(open_wants(state))
        settled = settled or (call.name in gates and not call.failed)
    return False


def wants_of_record(state: VisibleState) -> tuple[Want, ...]:
    """The open requests that the last tool result fits best by the words of their clauses; all when none does."""
    asked = open_wants(state)
    if len(asked) < 2 or not state.messages:
        return asked
    shown = {stem(word) for word in words((state.messages[-1].content or "").replace("_", " "))}
    scores = [len(asked_words(without_negated(want.clause)) & shown) for want in asked]
    return tuple(want for want, score in zip(asked, scores, strict=True) if score == max(scores))
