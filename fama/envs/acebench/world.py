"""ACEBench tasks behind our environment contract; data, tools, prompts and checkers are the benchmark's own."""

import json
from importlib import import_module
from typing import Any
from uuid import uuid4
from weakref import finalize

from fama.envs.acebench.scoring import agent_verdict, normal_verdict, process_verdict, special_verdict
from fama.envs.acebench.task_files import AceTask, prompt
from fama.envs.acebench.user import FINISH, AceUser
from fama.envs.base import Action, Observation, Reward, UserModel
from fama.episodes.records import GoldAction, ToolSpec
from fama.errors import EnvironmentFault
from fama.text.bracket_calls import BracketCall, read_calls, write_calls

MAX_MESSAGES = 40
"""Messages after the first one before a dialogue is cut, ACEBench's default."""
_NO_USER = "Please do not ask me any questions, use the known conditions to solve the problem"
_STATE = {
    "BaseApi": ("wifi", "logged_in"),
    "MessageApi": ("inbox",),
    "ReminderApi": ("reminder_list",),
    "FoodPlatform": ("users", "logged_in_users", "orders"),
    "Travel": ("users", "reservations"),
}
"""Attributes of each class that are compared with the answer, as ACEBench's inference writes it down."""


class AgentWorld:
    """``agent_multi_turn``, with a user, and ``agent_multi_step``, without a user.

    Calls in the benchmark's notation, ``[name(argument=value)]``, are carried out, too, when they come as text.
    """

    def __init__(self, task: AceTask, player: UserModel | None) -> None:
        self._task = task
        self._player = player
        self._dialogue = task.category == "agent_multi_turn"
        kind = "multi_turn" if self._dialogue else "multi_step"
        self._tools = import_module(f"model_inference.{kind}.{kind}_utils")
        self._prompts = f"model_inference.{kind}.APIModel_agent"
        self._start()

    @property
    def policy(self) -> str:
        """Return the benchmark's instructions for the agent, with the rules of the task's apps."""
        text = prompt(self._prompts, "MULTI_TURN_AGENT_PROMPT_SYSTEM", self._task.language)
        if self._dialogue:
            named = {"Travel": "TRAVEL_PROMPT", "BaseApi": "BASE_PROMPT"}
            text += "".join(self._task.text(named[name]) for name in named if name in self._classes)
        return text

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the task's functions."""
        return self._task.tools

    @property
    def process(self) -> tuple[str, ...]:
        """Return the calls sent to the tools, in the benchmark's notation; its process accuracy reads them."""
        return tuple(self._process)

    @property
    def state(self) -> list[dict[str, Any]]:
        """Return the end state by class, as the benchmark writes it into its result files."""
        kept = [
            {name: {key: vars(one)[key] for key in _STATE[name] if key in vars(one)}}
            for name, one in self._instances.items()
        ]
        return list(json.loads(json.dumps(kept, default=str)))

    async def reset(self, seed: int) -> Observation:
        """Start over; the observation is the user's first message, or the task itself where there is no user."""
        if self._process or self._count:
            self._start()
        if not self._dialogue:
            return Observation(role="user", content=self._task.row["question"])
        if self._player is None:
            raise EnvironmentFault("acebench: agent_multi_turn needs a model that plays the user")
        self._user = AceUser(self._task, self._player, seed)
        words, usage = await self._user.begin()
        return Observation(role="user", content=words, ledger=(usage,))

    async def step(self, action: Action) -> Observation:
        """Send calls to the tools, anything else to the user.

        Raises:
            EnvironmentFault: the episode is over, so the caller's loop is wrong.
        """
        if self._over:
            raise EnvironmentFault("acebench: the episode is over; call reset first")
        calls = ((action.tool, action.arguments),) if action.tool is not None else read_calls(action.text)
        if not calls and self._ends(action.text):
            return Observation(role="user", content=None, done=True, reason="agent_stop")
        if not calls and self._dialogue:
            words, usage = await self._user.answer(action.text)
            ended = self._ends(words)
            reason = self._reason("user_stop") if ended else ""
            return Observation(role="user", content=words, done=ended, reason=reason, ledger=(usage,))
        if calls:
            self._ends("")  # the agent's own message counts
            role, content = "tool" if action.tool is not None else "user", self._call(calls)
        else:
            self._process.append(action.text)
            role, content = "user", _NO_USER
        ended = self._ends("")
        return Observation(role=role, content=content, done=ended, reason="max_messages" if ended else "")

    def outcome(self) -> Reward:
        """Return end-to-end success, with the share of milestones as ``process``; a right end counts as all of them."""
        right = agent_verdict(self._task, self.state)
        process = 1.0 if right else process_verdict(self._task, self._process)
        stones = self._task.answer["mile_stone"]
        path = stones[0] if stones and isinstance(stones[0], list) else stones
        return Reward(
            success=right,
            reward=float(right),
            detail={"end_to_end": float(right), "process": process},
            gold_actions=_gold([call for stone in path for call in read_calls(stone)]),
        )

    @property
    def _classes(self) -> list[str]:
        return list(self._task.row["involved_classes"])

    def _start(self) -> None:
        self._key = uuid4().hex
        self._instances: dict[str, Any] = {}
        self._process: list[str] = []
        self._count = 0
        self._over = False
        finalize(self, _forget, vars(self._tools), f"fama_{self._key}_")

    def _call(self, calls: tuple[BracketCall, ...]) -> str:
        try:
            text = write_calls(calls)
        except ValueError as error:
            return f"Error during execution: {error}"
        self._process.append(text)
        results, instances = self._tools.execute_agent_func_call(
            func_call_list=[write_calls([call])[1:-1] for call in calls],
            initial_config=self._task.row["initial_config"],
            involved_classes=self._classes,
            model_name="fama",
            test_entry_id=self._key,
            language=self._task.language,
        )
        if isinstance(instances, dict):  # of a dialogue, a failed call gives the names only
            self._instances = instances
        return results if isinstance(results, str) else json.dumps([_parsed(r) for r in results], ensure_ascii=False)

    def _ends(self, text: str) -> bool:
        """Count a message. The closing words end the dialogue, not as one of the first two, and so does its length."""
        self._over = (self._count > 1 and FINISH in text) or self._count + 1 >= MAX_MESSAGES
        self._count += 1
        return self._over

    def _reason(self, said: str) -> str:
        return "max_messages" if self._count >= MAX_MESSAGES else said


class SingleWorld:
    """A normal or special category: one answer to a given dialogue, calls or a remark, judged by the benchmark.

    Structured calls are gathered until the agent says something; text in the benchmark's notation ends at once.
    """

    def __init__(self, task: AceTask) -> None:
        self._task = task
        self._calls: list[BracketCall] = []
        self._said = ""
        self._over = False

    @property
    def policy(self) -> str:
        """Return the benchmark's instructions; the functions stand where the strategy puts tools."""
        about = {"time": self._task.row.get("time", ""), "profile": self._task.row.get("profile", ""), "function": "-"}
        kind = "SPECIAL" if "special" in self._task.category else "NORMAL"
        kind = "PREFERENCE" if "preference" in self._task.category else kind
        return self._task.text(f"SYSTEM_PROMPT_FOR_{kind}_DATA").format(**about)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the task's functions."""
        return self._task.tools

    @property
    def answer(self) -> str:
        """Return the answer as the benchmark writes it into its result files."""
        return write_calls(self._calls) if self._calls else self._said

    async def reset(self, seed: int) -> Observation:
        """Start over; the observation is the dialogue so far."""
        self._calls, self._said, self._over = [], "", False
        return Observation(
            role="user", content=self._task.text("USER_PROMPT").format(question=self._task.row["question"])
        )

    async def step(self, action: Action) -> Observation:
        """Take the answer, or a part of it.

        Raises:
            EnvironmentFault: the episode is over, so the caller's loop is wrong.
        """
        if self._over:
            raise EnvironmentFault("acebench: the episode is over; call reset first")
        calls = ((action.tool, action.arguments),) if action.tool is not None else read_calls(action.text)
        try:
            write_calls(calls)
        except ValueError as error:
            return Observation(role="tool", content=f"Error: {error}")
        self._calls += calls
        if action.tool is not None:
            return Observation(role="tool", content="noted; call what else is needed, then say that you are done")
        self._said, self._over = action.text, True
        return Observation(role="user", content=None, done=True, reason="answered")

    def outcome(self) -> Reward:
        """Return the benchmark's verdict on what has been answered so far."""
        special = "special" in self._task.category
        right = (special_verdict if special else normal_verdict)(self._task, self.answer)
        truth = self._task.answer["ground_truth"]
        first = truth[0] if isinstance(truth, list) else truth
        gold = () if special or not isinstance(first, dict) else _gold([*first.items()])
        return Reward(success=right, reward=float(right), detail={"answer": float(right)}, gold_actions=gold)


def _gold(calls: list[BracketCall]) -> tuple[GoldAction, ...]:
    return tuple(GoldAction(name=name, arguments=json.dumps(values, ensure_ascii=False)) for name, values in calls)


def _parsed(result: str) -> Any:
    try:
        return json.loads(result)
    except ValueError:
        return result


def _forget(space: dict[str, Any], prefix: str) -> None:
    """Delete the benchmark's instances, which it keeps in its module for ever."""
    for name in [name for name in space if name.startswith(prefix)]:
        del space[name]
