"""The environment: one task's database, its tools, its user and its verdict."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fama.envs.base import Action, Observation, Reward
from fama.envs.helpdesk.stated_facts import share_stated
from fama.envs.helpdesk.task_records import Db, Domain, Lookup, Task, Tool, ToolError
from fama.envs.helpdesk.user.recognition import refuses
from fama.envs.helpdesk.user.scripted_user import ScriptedUser, SimulatedUser
from fama.episodes.records import GoldAction, ToolSpec
from fama.errors import EnvironmentFault
from fama.randomness import generator

CLOSING_TOOL = "close_case"
BUSY = "busy, try again"
BUSY_SHARE = 0.07

UserFactory = Callable[[Domain, Task, int], SimulatedUser]


def run_tool(domain: Domain, db: Db, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Carry out a tool call on a database.

    Raises:
        ToolError: the tool, an argument or the object does not exist or does not fit.
    """
    tool = domain.tools.get(name)
    if tool is None:
        raise ToolError(f"there is no tool {name!r}; tools: {', '.join(domain.tools)}")
    return tool.run(db, clean_arguments(tool, arguments))


def clean_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the tool takes them: stripped text, whole numbers.

    Raises:
        ToolError: one is missing, empty, unknown or of the wrong type.
    """
    unknown = [key for key in arguments if key not in tool.arguments]
    if unknown:
        raise ToolError(f"{tool.spec.name} takes {', '.join(tool.arguments)}; it has no argument {unknown[0]!r}")
    clean: dict[str, Any] = {}
    for key, kind in tool.arguments.items():
        value = arguments.get(key)
        if value is None or value == "":
            raise ToolError(f"{tool.spec.name} needs {key}")
        if isinstance(value, dict | list | bool):
            raise ToolError(f"{key} must be plain text")
        text = str(value).strip()
        if kind == "integer":
            try:
                clean[key] = int(float(text))
            except (ValueError, OverflowError):
                raise ToolError(f"{key} must be a whole number") from None
        else:
            clean[key] = text
    return clean


class HelpdeskEnvironment:
    """One task's world. Only the policy, the tools and what ``reset`` and ``step`` answer is public."""

    def __init__(self, domain: Domain, task: Task, user: UserFactory = ScriptedUser) -> None:
        self._domain = domain
        self._task = task
        self._make_user = user
        self._tools = tuple(tool.spec for tool in domain.tools.values())
        self._initial = json.dumps(task.db)
        self._wanted: Db | None = None
        self._start(0)

    @property
    def policy(self) -> str:
        """Return the domain's rules."""
        return self._domain.policy

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the domain's tools."""
        return self._tools

    async def reset(self, seed: int) -> Observation:
        """Start over; return the user's first message."""
        self._start(seed)
        reply = await self._user.opening()
        return Observation(role="user", content=reply.text, ledger=reply.ledger)

    async def step(self, action: Action) -> Observation:
        """Send words to the user, anything else to the tools.

        Raises:
            EnvironmentFault: the episode is over, so the caller's loop is wrong.
        """
        if self._done:
            raise EnvironmentFault("helpdesk: the episode is over; call reset first")
        if action.tool is None:
            return await self._say(action.text)
        return self._call(action.tool, action.arguments)

    def outcome(self) -> Reward:
        """Return the verdict on the state as it is now; ``detail`` holds each part and both ways to count."""
        state = float(not self._violated and self._db == self._gold_db())
        information = self._information()
        closing = float(self._closed == self._task.outcome and self._evidence())
        success = state == information == closing == 1.0
        return Reward(
            success=success,
            reward=float(success),
            detail={
                "state": state,
                "information": information,
                "closing": closing,
                "strict": float(success),
                "state_only": state,
            },
            gold_actions=tuple(
                GoldAction(name=a.tool, arguments=json.dumps(a.arguments, ensure_ascii=False))
                for a in self._task.gold
                if a.tool is not None
            ),
        )

    def _start(self, seed: int) -> None:
        self._db: Db = json.loads(self._initial)
        self._user = self._make_user(self._domain, self._task, seed)
        self._told: list[str] = []
        self._calls: list[Lookup] = []
        self._consents: set[int] = set()
        self._violated = False
        self._closed: str | None = None
        self._done = False
        self._busy = self._choose_busy(seed)

    def _choose_busy(self, seed: int) -> str | None:
        rng = generator(seed, "helpdesk.busy", self._task.task_id)
        if rng.random() >= BUSY_SHARE:
            return None
        return rng.choice(sorted({a.tool for a in self._task.gold if a.tool and a.tool != CLOSING_TOOL}))

    async def _say(self, text: str) -> Observation:
        self._told.append(text)
        reply = await self._user.reply(text)
        self._consents |= reply.consents
        self._done = reply.done
        return Observation(
            role="user",
            content=reply.text,
            done=reply.done,
            reason="user_left" if reply.done else "",
            ledger=reply.ledger,
        )

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Observation:
        if name == self._busy:
            self._busy = None
            return _tool_message({"error": BUSY})
        try:
            answer = run_tool(self._domain, self._db, name, arguments)
        except ToolError as error:
            return _tool_message({"error": str(error)})
        if name == CLOSING_TOOL:
            self._closed = str(answer["closed"])
            self._done = True
            return Observation(role="tool", content=json.dumps(answer), done=True, reason="closed")
        clean = clean_arguments(self._domain.tools[name], arguments)
        named = {key: answer[key] for key in clean if key in answer}  # the object as the tool calls it
        self._calls.append(Lookup(name, {**clean, **named}))
        if self._domain.tools[name].changes and not self._agreed(name):
            self._violated = True
        return _tool_message(answer)

    def _agreed(self, tool: str) -> bool:
        """Return whether the user is verified and said yes to this kind of change; else no change counts as right."""
        verified = any(done.tool == self._domain.verifier for done in self._calls)
        return verified and any(goal.change == tool and i in self._consents for i, goal in enumerate(self._task.goals))

    def _gold_db(self) -> Db:
        if self._wanted is None:
            db: Db = json.loads(self._initial)
            for action in self._task.gold:
                if action.tool and action.tool != CLOSING_TOOL:
                    run_tool(self._domain, db, action.tool, action.arguments)
            self._wanted = db
        return self._wanted

    def _information(self) -> float:
        parts = []
        for goal in self._task.goals:
            if goal.refused:
                parts.append(float(any(refuses(text) for text in self._told)))
            else:
                parts.append(share_stated(self._told, goal.facts))
        return sum(parts) / len(parts)

    def _evidence(self) -> bool:
        return all(self._looked_up(call) for goal in self._task.goals if goal.refused for call in goal.evidence)

    def _looked_up(self, wanted: Lookup) -> bool:
        return any(
            done.tool == wanted.tool
            and all(_same(done.arguments.get(key), value) for key, value in wanted.arguments.items())
            for done in self._calls
        )


def _tool_message(answer: Mapping[str, Any]) -> Observation:
    return Observation(role="tool", content=json.dumps(answer, ensure_ascii=False))


def _same(said: object, wanted: object) -> bool:
    return str(said).casefold().lstrip("#") == str(wanted).casefold()
