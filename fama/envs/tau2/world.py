"""One τ²-bench task behind our environment contract; state, tools and verdict are the benchmark's own."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fama.envs.base import Action, Observation, Reward, UserModel
from fama.envs.tau2.package import load_module
from fama.envs.tau2.user import MAX_CALLS, Tau2User
from fama.episodes.foreign.fields import is_full
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.importers.tau2_messages import chat_message, of_user_tools
from fama.episodes.records import GoldAction, LedgerRow, Message, ToolCall, ToolSpec
from fama.errors import EnvironmentFault, UserFault
from fama.models.base import CallFailed, billed

#: Failed tool calls after which tau2 ends a simulation.
MAX_ERRORS = 10
STOP = "###STOP###"


class Tau2Environment:
    """Carries out one task as ``tau2 run`` does: the same tools, user prompt, limit of errors and evaluation."""

    def __init__(self, domain: str, task: Any, player: UserModel) -> None:
        self._domain = domain
        self._task = task
        self._player = player
        self._messages = load_module("data_model.message")
        self._build()
        self._fresh = True

    @property
    def policy(self) -> str:
        """Return the domain's policy."""
        return str(self._world.get_policy())

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the agent's tools; not the user's own."""
        return specs_of(self._world)

    async def reset(self, seed: int) -> Observation:
        """Greet the user, as tau2 does, and hear what it wants."""
        if not self._fresh:
            self._build()
        self._fresh = False
        user_tools = self._world.get_user_tools() if self._world.user_tools is not None else None
        self._user = Tau2User(self._task, user_tools, self._player, seed)
        if not self._trajectory:
            self._trajectory.append(deepcopy(load_module("orchestrator.orchestrator").DEFAULT_FIRST_AGENT_MESSAGE))
        for message in self._trajectory:
            self._user.recall(message)
        last = self._trajectory[-1]
        if last.role == "assistant":
            before = self._shown(self._trajectory)
            return replace(await self._listen(), before=before)
        failed = last.role == "tool" and bool(last.error)
        before = self._shown(self._trajectory[:-1])
        return Observation(role=last.role, content=last.content, before=before, failed=failed)

    async def step(self, action: Action) -> Observation:
        """Send words to the user, anything else to the tools.

        Raises:
            EnvironmentFault: the episode is over, so the caller's loop is wrong.
        """
        if self._ended is not None:
            raise EnvironmentFault("tau2: the episode is over; call reset first")
        if action.tool is not None:
            return self._call(action)
        self._trajectory.append(self._messages.AssistantMessage(role="assistant", content=action.text))
        if STOP in action.text:
            return self._end("agent_stop", None)
        self._user.hear(action.text)
        return await self._listen()

    def outcome(self) -> Reward:
        """Return the benchmark's verdict: 0 before the user or the agent has ended the conversation, as in tau2."""
        simulation = load_module("data_model.simulation")
        evaluator = load_module("evaluator.evaluator")
        now = datetime.now(UTC).isoformat()
        run = simulation.SimulationRun(
            id="fama",
            task_id=str(self._task.id),
            start_time=now,
            end_time=now,
            duration=0.0,
            termination_reason=simulation.TerminationReason(self._ended or "max_steps"),
            messages=self._trajectory,
        )
        try:
            verdict = evaluator.evaluate_simulation(
                simulation=run,
                task=self._task,
                evaluation_type=evaluator.EvaluationType.ALL,
                solo_mode=False,
                domain=self._domain,
            )
        except (ValueError, KeyError) as error:  # an assertion of mock about a task that the agent never made
            raise EnvironmentFault(f"tau2: its evaluator fails on task {self._task.id}: {error}") from error
        parts = {getattr(key, "value", str(key)): float(v) for key, v in (verdict.reward_breakdown or {}).items()}
        return Reward(
            success=is_full(verdict.reward),
            reward=float(verdict.reward),
            detail=parts,
            gold_actions=self._gold(),
            instruction=str(self._task.user_scenario),
        )

    def _build(self) -> None:
        state = self._task.initial_state
        history = deepcopy(state.message_history) if state is not None and state.message_history else []
        self._world = load_module("registry").registry.get_env_constructor(self._domain)()
        self._world.set_state(
            initialization_data=state.initialization_data if state is not None else None,
            initialization_actions=state.initialization_actions if state is not None else None,
            message_history=history,
        )
        self._trajectory: list[Any] = history
        self._ended: str | None = None
        self._errors = 0
        self._calls = 0

    def _call(self, action: Action) -> Observation:
        self._calls += 1
        call = self._messages.ToolCall(id=f"call_{self._calls}", name=action.tool, arguments=action.arguments)
        self._trajectory.append(self._messages.AssistantMessage(role="assistant", content=None, tool_calls=[call]))
        return self._answered(self._world.get_response(call))

    def _answered(self, result: Any) -> Observation:
        self._trajectory.append(result)
        self._errors += result.error
        if self._errors >= MAX_ERRORS:
            return replace(self._end("too_many_errors", result.content, role="tool"), failed=True)
        return Observation(role="tool", content=result.content or "", failed=bool(result.error))

    async def _listen(self) -> Observation:
        """Return the user's next words; its own tool calls, if it has tools, are carried out in between.

        Raises:
            UserFault: the user failed, or only called its tools. What its calls cost is billed.
        """
        ledger: list[LedgerRow] = []
        try:
            return await self._turn(ledger)
        except UserFault as error:
            message = str(error)
            raise UserFault(message) from CallFailed(message, (*ledger, *billed(error)))

    async def _turn(self, ledger: list[LedgerRow]) -> Observation:
        for _ in range(MAX_CALLS):
            words, calls, usage = await self._user.act()
            ledger.append(usage)
            if words is not None:
                message = self._messages.UserMessage(role="user", content=words)
                self._trajectory.append(message)
                if self._user.ends(message):
                    return self._end("user_stop", words, ledger=tuple(ledger))
                return Observation(role="user", content=words, ledger=tuple(ledger))
            self._carry_out(calls)
            if self._errors >= MAX_ERRORS:
                return self._end("too_many_errors", None, ledger=tuple(ledger))
        raise UserFault(f"the user called its tools {MAX_CALLS} times without a word to the agent")

    def _carry_out(self, calls: Sequence[ToolCall]) -> None:
        """Carry out the user's calls of its own tools; tau2 counts their errors with the agent's."""
        own = [
            self._messages.ToolCall(
                id=call.id, name=call.function.name, arguments=call.function.parsed(), requestor="user"
            )
            for call in calls
        ]
        self._trajectory.append(self._messages.UserMessage(role="user", content=None, tool_calls=own))
        for call in own:
            result = self._world.get_response(call)
            self._trajectory.append(result)
            self._errors += result.error
            self._user.learn(call.id, result.content or "")

    def _shown(self, trajectory: list[Any]) -> tuple[Message, ...]:
        """Return the agent's view of a conversation: not the user's own tool calls and their results."""
        rows = [message.model_dump() for message in trajectory]
        return messages_of([chat_message(row) for row in rows if not of_user_tools(row)])

    def _end(
        self, reason: str, content: str | None, role: str = "user", ledger: tuple[LedgerRow, ...] = ()
    ) -> Observation:
        self._ended = reason
        return Observation(role=role, content=content, done=True, reason=reason, ledger=ledger)

    def _gold(self) -> tuple[GoldAction, ...] | None:
        criteria = self._task.evaluation_criteria
        if criteria is None or criteria.actions is None:
            return None
        return tuple(
            GoldAction(name=a.name, arguments=json.dumps(a.arguments, ensure_ascii=False))
            for a in criteria.actions
            if a.requestor == "assistant"
        )


def specs_of(world: Any) -> tuple[ToolSpec, ...]:
    """Return the agent's tools of a world of tau2."""
    specs = []
    for tool in world.get_tools():
        function = tool.openai_schema["function"]
        parameters = json.dumps(function["parameters"], ensure_ascii=False)
        specs.append(ToolSpec(name=function["name"], description=function["description"], parameters=parameters))
    return tuple(specs)
