"""Count the tokens of logged episodes in the requests that this package would have sent; no model is asked."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from eval.compare.lazy_models import UnconnectedModel
from fama.agents.agent_request import agent_request
from fama.agents.strategies.base import STRATEGIES
from fama.envs.base import Benchmark, UserModel
from fama.envs.tau_bench.user import GREETING
from fama.envs.tau_bench.world import TauEnvironment
from fama.episodes.records import Episode, Message
from fama.episodes.state import VisibleState, decision_steps, state_after, state_at
from fama.errors import BadInput
from fama.helpers.llm_form import PrefixHelper
from fama.helpers.pool import build_pool
from fama.models.base import Sampling
from fama.models.prefix import AgentRequest
from fama.selection.base import SelectorContext
from fama.selection.selectors.prompted import OneCall
from fama.settings import HelperSettings

#: Name of the sums over all helpers.
ALL = "all helpers"
_END = "<|im_end|>\n"


class Tokenizer:
    """A tokenizer with the chat template of a backbone whose turns end with ``<|im_end|>``."""

    def __init__(self, name: str) -> None:
        from transformers import AutoTokenizer

        path = Path(name)
        own = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
        self._own = AutoTokenizer.from_pretrained(str(path.parent) if own else name, **own)
        self.count = lru_cache(maxsize=None)(self._count)

    def _count(self, text: str) -> int:
        return len(self._own(text, add_special_tokens=False).input_ids)

    def turns(self, request: AgentRequest) -> list[str]:
        """Return a request as the server renders it, cut at the ends of its turns: tokens add up over them."""
        messages = [_parsed(message) for message in request.messages]
        text = self._own.apply_chat_template(messages, tools=list(request.tools) or None, tokenize=False)
        return [f"{turn}{_END}" for turn in str(text).removesuffix(_END).split(_END)]

    def turn(self, role: str, content: str) -> int:
        """Return the tokens of one turn."""
        return self.count(f"{_start(role)}{content}{_END}")


class MeasuredEpisode(NamedTuple):
    """One episode: sums by the names of what ``Workload`` holds, its longest request and its opening."""

    task: str
    success: bool
    sums: Mapping[str, float]
    longest: int
    opening: int


class WorkloadMeter:
    """Counts episodes of one benchmark and strategy; ``memory`` is how many user turns the helper Memory recalls."""

    def __init__(self, tokenizer: Tokenizer, benchmark: Benchmark, strategy: str, memory: int) -> None:
        self._tokenizer = tokenizer
        self._benchmark = benchmark
        self._strategy = STRATEGIES.load(strategy)()
        pool = build_pool(HelperSettings(form="llm", options={"Memory": {"k": memory}}))
        self.helpers = {name: helper for name, helper in pool.items() if isinstance(helper, PrefixHelper)}
        self._selector = OneCall(SelectorContext(pool, UnconnectedModel("none")), {})

    def measure(self, episode: Episode) -> MeasuredEpisode:
        """Return what an episode takes.

        Raises:
            BadInput: its benchmark is not τ-bench or τ-trait.
        """
        player = UserModel(UnconnectedModel("none"), Sampling())
        world = self._benchmark.environment(episode.domain, episode.task_id, player)
        if not isinstance(world, TauEnvironment):
            raise BadInput(
                f"{episode.benchmark}: only logs of tau-bench and tau-trait can be measured; remove the others"
            )
        steps = decision_steps(episode)
        states = [_in_world(state_at(episode, turn), world) for turn in range(len(steps))]
        sums: dict[str, float] = defaultdict(float)
        before: list[str] = []
        longest = opening = 0
        for state in states:
            turns = self._tokenizer.turns(agent_request(self._strategy, state))
            read = sum(map(self._tokenizer.count, turns))
            fresh, written = self._added(before, turns)
            if not before:
                opening = self._tokenizer.count(turns[0])
                fresh -= opening
            for name, tokens in (
                ("decisions", 1),
                ("agent read", read),
                ("agent fresh", fresh),
                ("agent written", written),
            ):
                sums[name] += tokens
            self._ask(state, read, sums)
            longest = max(longest, read)
            before = turns
        after = self._tokenizer.turns(agent_request(self._strategy, _in_world(state_after(episode), world)))
        sums["agent written"] += self._added(before, after)[1]
        sums["selection"] += self._tokenizer.turn("user", self._selector.prompt(states[0]))
        for name, tokens in self._user(episode.messages, world.user_prompt).items():
            sums[f"user {name}"] += tokens
        return MeasuredEpisode(episode.task_id, episode.outcome.status == "success", sums, longest, opening)

    def _added(self, before: list[str], turns: list[str]) -> tuple[int, int]:
        """Return the tokens that a request adds to the one before it: of others, and of the assistant's own turns."""
        same = next((i for i, (a, b) in enumerate(zip(before, turns, strict=False)) if a != b), len(before))
        own = [turn.startswith(_start("assistant")) for turn in turns[same:]]
        tokens = [self._tokenizer.count(turn) for turn in turns[same:]]
        written = sum(n for n, mine in zip(tokens, own, strict=True) if mine)
        return sum(tokens) - written, written

    def _ask(self, state: VisibleState, read: int, sums: dict[str, float]) -> None:
        """Add the questions of all helpers that have something to ask about."""
        for name, helper in self.helpers.items():
            if (about := helper.about(state)) is not None:
                question = helper.question(about)
                tokens = self._tokenizer.turn("user", question.text) + self._tokenizer.count(question.opening)
                for part, more in (("calls", 1), ("question", tokens), ("read", read + tokens)):
                    sums[f"{name} {part}"] += more
                    sums[f"{ALL} {part}"] += more

    def _user(self, messages: tuple[Message, ...], prompt: str) -> dict[str, int]:
        """Return the tokens of the model that plays the user: its instructions, then the conversation without tools."""
        sums = {"read": 0, "fresh": 0, "written": 0}
        read = fresh = self._tokenizer.turn("system", prompt) + self._tokenizer.turn("user", GREETING)
        for message in messages:
            if message.role == "assistant" and not message.tool_calls:
                heard = self._tokenizer.turn("user", message.content or "")
                read, fresh = read + heard, fresh + heard
            elif message.role == "user":
                said = self._tokenizer.turn("assistant", message.content or "")
                sums = {"read": sums["read"] + read, "fresh": sums["fresh"] + fresh, "written": sums["written"] + said}
                read, fresh = read + said, 0
        return sums


def _in_world(state: VisibleState, world: TauEnvironment) -> VisibleState:
    """Return the state with the benchmark's own policy and tools, which logs of native calls lack."""
    return replace(state, policy=world.policy, tools=world.tools)


def _start(role: str) -> str:
    return f"<|im_start|>{role}\n"


def _parsed(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with arguments of calls as objects, as servers give them to the chat template."""
    if not message.get("tool_calls"):
        return dict(message)
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"])
        except ValueError:
            arguments = function["arguments"]
        calls.append({**call, "function": {**function, "arguments": arguments}})
    return {**message, "tool_calls": calls}
