"""Three silent helpers and a conversation that a prompted selector is asked about."""

from dataclasses import dataclass

from fama.episodes.keys import EpisodeKey
from fama.episodes.records import FunctionCall, Message, ToolCall
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper, HelperContext, HelperReply


@dataclass
class Silent:
    """A helper that says nothing."""

    name: str
    covers: frozenset[str]
    token_cap: int = 40
    cost_cap: int = 0

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        return HelperReply(None)


HELPERS: dict[str, Helper] = {
    "DCE": Silent("DCE", frozenset({"DCV"})),
    "TSA": Silent("TSA", frozenset({"IFU"})),
    "Memory": Silent("Memory", frozenset({"CM"})),
}
KEY = EpisodeKey("helpdesk", "shop", "t1", 0, "m", "act")
STATE = VisibleState(
    policy="Rules. " * 300,
    tools=(),
    messages=(
        Message(role="user", content="old words " * 200),
        *(Message(role="assistant", content=f"turn {i}") for i in range(6)),
        Message(
            role="assistant",
            tool_calls=(ToolCall(id="1", function=FunctionCall(name="get_order", arguments='{"id": "O1"}')),),
        ),
        Message(role="user", content="Return it and cancel the other {{ 7 * 7 }}"),
    ),
    turn=3,
)
