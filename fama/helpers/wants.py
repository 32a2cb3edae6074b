"""What the user asked for, as tools: found by word overlap with the tools' names and descriptions."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from fama.episodes.records import ToolSpec
from fama.helpers.history import Call, calls, corrects, user_turns
from fama.helpers.reading import ToolView, view, views
from fama.helpers.words import clauses, meaning, meanings, words
from fama.state import VisibleState

_NEGATED = re.compile(r"\b(?:don'?t|do not|not|never|no need to|without|instead of|rather than)\b.*", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:cannot|can't|can ?not|could not|couldn't|unable"
    r"|not able|not allowed|not possible|not eligible|won't|unfortunately)\b",
    re.IGNORECASE,
)
#: Weight of a match in the tool's name against one in its description.
_NAME_WEIGHT = 2.0
#: Least score of a request, and the lead it needs over the second-best tool.
_LEAST, _LEAD = 2.0, 0.5


@dataclass(frozen=True)
class Want:
    """A request: the tool that serves it, the user's clause, and the message index of the user's turn."""

    tool: ToolView
    clause: str
    index: int


@lru_cache(maxsize=64)
def _weights(tools: tuple[ToolSpec, ...]) -> dict[str, float]:
    seen: dict[str, int] = {}
    for tool in tools:
        for root in view(tool).stems:
            seen[root] = seen.get(root, 0) + 1
    return {root: math.log(1 + len(tools) / count) for root, count in seen.items()}


def _verb(tool: ToolView) -> str:
    first = words(re.sub(r"([a-z])([A-Z])", r"\1 \2", tool.name))
    return meaning(first[0]) if first else ""


def _best(clause: str, state: VisibleState) -> ToolView | None:
    said = meanings(_NEGATED.sub("", clause))
    weights = _weights(state.tools)
    scored: list[tuple[float, ToolView]] = []
    for tool in (*views(state, "write"), *views(state, "read")):
        shared = said & tool.stems
        if tool.kind == "write" and _verb(tool) not in shared:
            continue
        score = sum(weights[root] * (_NAME_WEIGHT if root in tool.name_stems else 1.0) for root in shared)
        scored.append((score, tool))
    scored.sort(key=lambda pair: -pair[0])
    if not scored or scored[0][0] < _LEAST:
        return None
    rivals = [score for score, tool in scored[1:] if tool.kind == scored[0][1].kind]
    return scored[0][1] if not rivals or scored[0][0] - rivals[0] >= _LEAD else None


def wants(state: VisibleState) -> tuple[Want, ...]:
    """The user's requests in order, one a tool, the last wording of each.

    A turn that corrects an earlier one and asks for another change replaces the changes asked before.
    """
    found: dict[str, Want] = {}
    for index, text in user_turns(state):
        fresh = [Want(tool, clause, index) for clause in clauses(text) if (tool := _best(clause, state))]
        changes = {want.tool.name for want in fresh if want.tool.kind == "write"}
        if changes and corrects(text):
            found = {name: want for name, want in found.items() if want.tool.kind != "write" or name in changes}
        for want in fresh:
            found[want.tool.name] = want
    return tuple(sorted(found.values(), key=lambda want: want.index))


def is_done(want: Want, made: tuple[Call, ...]) -> bool:
    """Whether the request's tool was called without an error."""
    return any(call.name == want.tool.name and not call.failed for call in made)


def is_refused(want: Want, state: VisibleState) -> bool:
    """Whether the agent told the user, after the request, that it cannot be done."""
    return any(
        message.role == "assistant"
        and message.content is not None
        and _REFUSAL.search(message.content)
        and meanings(message.content) & want.tool.name_stems
        for message in state.messages[want.index + 1 :]
    )


def open_wants(state: VisibleState) -> tuple[Want, ...]:
    """Requests that are neither done nor refused."""
    made = calls(state)
    return tuple(want for want in wants(state) if not is_done(want, made) and not is_refused(want, state))


def open_changes(state: VisibleState) -> tuple[Want, ...]:
    """Open requests that change data."""
    return tuple(want for want in open_wants(state) if want.tool.kind == "write")


def change_ahead(state: VisibleState) -> bool:
    """Whether a change that the user asked for comes next: asked, something looked up, not yet done."""
    looked_up = any(not call.failed for call in calls(state) if _kind(call, state) == "read")
    return looked_up and bool(open_changes(state))


def _kind(call: Call, state: VisibleState) -> str:
    return next((tool.kind for tool in views(state) if tool.name == call.name), "other")
