"""A toy benchmark: switch a lamp on, but only once its number is known. One helper's note tells the way."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fama.agents.setup import EpisodeSetup
from fama.envs.base import Action, Observation, Reward, UserModel
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import FunctionCall, LedgerRow, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState
from fama.episodes.store import read_episodes
from fama.helpers.base import Helper, HelperContext, HelperReply
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import ScriptedModel
from fama.selection.base import SELECTORS, AnySelector, SelectorContext
from fama.selection.budget import RunBudget
from fama.settings import BudgetSettings, SelectorSettings

POLICY = "Look a lamp up before you switch it. Close when the customer is content. {{ 7 * 7 }} is no template."


def schema(*names: str) -> str:
    properties = {name: {"type": "string"} for name in names}
    return json.dumps({"type": "object", "properties": properties, "required": list(names)})


TOOLS = (
    ToolSpec(name="find_lamp", description="Finds a lamp by its room.", parameters=schema("room")),
    ToolSpec(name="switch_on", description="Switches a lamp on.", parameters=schema("lamp_id")),
    ToolSpec(name="close", description="Ends the conversation."),
)


def call(number: int, name: str, **arguments: str) -> Message:
    function = FunctionCall(name=name, arguments=json.dumps(arguments))
    return Message(role="assistant", tool_calls=(ToolCall(id=f"call_{number}", function=function),))


DEMONSTRATION = (
    Message(role="user", content="Hello, is anybody there?"),
    Message(role="assistant", content="Yes. What can I do?"),
    Message(role="user", content="Nothing, bye."),
    call(2, "close"),
    Message(role="tool", content="closed", tool_call_id="call_2", name="close"),
)


class LampWorld:
    """Success is: L1 on and closed. The user answers every question with ``Please go on.``"""

    policy = POLICY
    tools = TOOLS

    def __init__(self, task_id: str = "t0", fault: Exception | None = None) -> None:
        self.task_id = task_id
        self.fault = fault
        self.on: set[str] = set()
        self.closed = False
        self.seed = -1
        self.actions: list[Action] = []

    async def reset(self, seed: int) -> Observation:
        self.seed = seed
        return Observation("user", f"Switch the lamp in the {self.task_id} room on, {{please}}.")

    async def step(self, action: Action) -> Observation:
        self.actions.append(action)
        if self.fault is not None:
            raise self.fault
        if action.tool is None:
            row = LedgerRow(role="user", model="toy", input_tokens=5, output_tokens=1)
            return Observation("user", "Please go on.", ledger=(row,))
        if action.tool == "find_lamp":
            return Observation("tool", '{"lamp_id": "L1"}')
        if action.tool == "switch_on":
            self.on.add(str(action.arguments.get("lamp_id")))
            return Observation("tool", "ok")
        if action.tool == "close":
            self.closed = True
            return Observation("tool", None, done=True, reason="closed")
        return Observation("tool", f"Error: there is no tool {action.tool}")

    def outcome(self) -> Reward:
        success = self.closed and self.on == {"L1"}
        return Reward(success, float(success), {"state": float(self.on == {"L1"})})


class Lamps:
    """A benchmark of lamp worlds."""

    name = "lamps"
    broken: frozenset[str] = frozenset()

    def version(self, domain: str) -> str:
        return "1"

    def domains(self) -> Sequence[str]:
        return ("house",)

    def splits(self, domain: str) -> Sequence[str]:
        return ("dev",)

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        return tuple(f"t{n}" for n in range(6))

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> LampWorld:
        from fama.errors import BadInput, EnvironmentFault

        if task_id not in self.task_ids(domain, "dev"):
            raise BadInput(f"unknown task {task_id!r}")
        fault = EnvironmentFault("the fuse blew") if task_id in type(self).broken else None
        return LampWorld(task_id, fault)

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        return (DEMONSTRATION,)


class Guide:
    """A helper that names the next tool; silent once the lamp is on."""

    name = "Guide"
    covers = frozenset({"IFU"})
    token_cap = 20
    cost_cap = 0

    def __init__(self, name: str = "Guide", text: str | None = "Call find_lamp first.") -> None:
        self.name = name
        self.text = text

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        return HelperReply(self.text)


def act_line(tool: str, **arguments: Any) -> str:
    return json.dumps({"tool": tool, "arguments": arguments})


GOLD = (act_line("find_lamp", room="t0"), act_line("switch_on", lamp_id="L1"), act_line("close"))


def lines(*replies: str | Exception, name: str = "toy") -> "Recorder":
    """A model that gives these replies in turn, and the last one for ever."""
    return Recorder(lambda request, n: replies[min(n, len(replies) - 1)], name)


def gold_model() -> "Recorder":
    """A model that solves every task, told by its history alone, so that episodes may run side by side."""

    def reply(request: ChatRequest, number: int) -> str:
        text = json.dumps([m["content"] for m in request.messages[-3:]])
        return GOLD[2] if "Tool result: ok" in text else GOLD[1] if "L1" in text else GOLD[0]

    return Recorder(reply, "gold")


class Recorder(ScriptedModel):
    """A scripted model that keeps its requests; an exception among the replies is raised."""

    def __init__(self, reply: Callable[[ChatRequest, int], str | ChatReply | Exception], name: str) -> None:
        self.requests: list[ChatRequest] = []

        def answer(request: ChatRequest) -> str | ChatReply:
            self.requests.append(request)
            value = reply(request, len(self.requests) - 1)
            if isinstance(value, Exception):
                raise value
            return value

        super().__init__(name, answer)


def setup_for(
    model: ScriptedModel,
    world: LampWorld | None = None,
    *,
    helpers: Sequence[Helper] = (),
    selector: AnySelector | None = None,
    budget: BudgetSettings | None = None,
    demonstrations: Sequence[Sequence[Message]] = (),
) -> EpisodeSetup:
    """An episode of the toy world; its selector takes every helper unless another is given."""
    pool = {helper.name: helper for helper in helpers}
    world = world or LampWorld()
    return EpisodeSetup(
        id="e0",
        key=EpisodeKey("lamps", "house", world.task_id, 0, model.name, "act"),
        environment=lambda: world,
        model=model,
        selector=selector or SELECTORS.load("all")(SelectorContext(pool)),
        arm="all",
        budget=RunBudget(budget or BudgetSettings()).episode(),
        seeds={"environment": 11, "model": 12, "selector": 13},
        helpers=pool,
        demonstrations=demonstrations,
    )


NONE = SelectorSettings()


def told(folder: Path) -> dict[str, dict[str, Any]]:
    """Return episodes as trees without clocks, by id; each of them once."""
    found = {}
    for episode in read_episodes(folder):
        assert episode.id not in found
        tree = episode.model_dump(exclude={"started_at", "seconds"})
        for decision in tree["decisions"]:
            del decision["seconds"]
        found[episode.id] = tree
    return found
