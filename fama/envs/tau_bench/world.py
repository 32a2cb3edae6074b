"""One τ-bench or τ-trait task behind our environment contract; data, tools and reward are the benchmark's own."""

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

from fama.envs.base import Action, Observation, Reward, UserModel
from fama.envs.tau_bench.user import GREETING, STOP, TauUser
from fama.episodes.foreign.fields import is_full
from fama.episodes.records import GoldAction, ToolSpec
from fama.errors import EnvironmentFault


class TauEnvironment:
    """Carries out one task as the benchmark's ``run.py`` does.

    ``make`` builds the benchmark's environment, set to the task, with the user that asks a human: it is never asked,
    since a chat model answers in its place. ``prompt`` writes that model's instructions.
    """

    def __init__(
        self, make: Callable[[], Any], prompt: Callable[[str], str], trait: str | None, player: UserModel
    ) -> None:
        self._make = make
        self._prompt = prompt
        self._trait = trait
        self._player = player
        self._verdict: Any = None
        self._build()
        self._fresh = True

    @property
    def policy(self) -> str:
        """Return the domain's policy, which the benchmark calls its wiki."""
        return str(self._world.wiki)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the domain's tools."""
        return tuple(
            ToolSpec(
                name=info["function"]["name"],
                description=info["function"].get("description") or "",
                parameters=json.dumps(info["function"].get("parameters") or {}, ensure_ascii=False),
            )
            for info in self._world.tools_info
        )

    @property
    def user_prompt(self) -> str:
        """Return what the model that plays the user is told, without a trait."""
        return self._prompt(str(self._world.task.instruction))

    async def reset(self, seed: int) -> Observation:
        """Start over; return the user's first message."""
        if not self._fresh:
            self._build()
        self._fresh = False
        self._user = TauUser(self._prompt(self._world.task.instruction), self._trait, self._player, seed)
        words, usage = await self._user.answer(GREETING)
        return Observation(role="user", content=words, ledger=(usage,))

    async def step(self, action: Action) -> Observation:
        """Send words to the user, anything else to the tools.

        Raises:
            EnvironmentFault: the episode is over, so the caller's loop is wrong.
        """
        if self._verdict is not None:
            raise EnvironmentFault("tau-bench: the episode is over; call reset first")
        if action.tool is not None:
            return self._call(action.tool, action.arguments)
        self._world.actions.append(self._types().Action(name="respond", kwargs={"content": action.text}))
        words, usage = await self._user.answer(action.text)
        if STOP in words:
            with silence_prints():
                self._verdict = self._world.calculate_reward()
        ended = self._verdict is not None
        return Observation(role="user", content=words, done=ended, reason="user_stop" if ended else "", ledger=(usage,))

    def outcome(self) -> Reward:
        """Return the benchmark's verdict; 0 while neither side has ended the conversation, as the benchmark has it."""
        gold = tuple(
            GoldAction(name=a.name, arguments=json.dumps(a.kwargs, ensure_ascii=False))
            for a in self._world.task.actions
            if a.name != "respond"
        )
        if self._verdict is None:
            return Reward(success=False, reward=0.0, gold_actions=gold, instruction=self._world.task.instruction)
        detail = {
            name: float(value)
            for name in ("r_actions", "r_outputs")
            if (value := getattr(self._verdict.info, name, None)) is not None
        }
        reward = float(self._verdict.reward)
        return Reward(
            success=is_full(reward),
            reward=reward,
            detail=detail,
            gold_actions=gold,
            instruction=self._world.task.instruction,
        )

    def _build(self) -> None:
        with silence_prints():
            self._world = self._make()
        self._verdict = None

    def _call(self, name: str, arguments: dict[str, Any]) -> Observation:
        with silence_prints():
            answer = self._world.step(self._types().Action(name=name, kwargs=arguments))
        if answer.done:
            self._verdict = answer.info.reward_info
        reason = "transferred" if answer.done else ""
        return Observation(role="tool", content=str(answer.observation), done=bool(answer.done), reason=reason)

    def _types(self) -> Any:
        from importlib import import_module

        return import_module(f"{type(self._world).__module__.split('.')[0]}.types")


def silence_prints() -> contextlib.redirect_stdout[io.StringIO]:
    """Silence τ-trait, which prints its settings and every instruction."""
    return contextlib.redirect_stdout(io.StringIO())
