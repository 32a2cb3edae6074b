"""One episode: decide, act, hear what comes back; until something ends it."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fama import __version__
from fama.agents.decision import Decider
from fama.agents.setup import EpisodeSetup
from fama.envs.base import Action, Environment, Observation
from fama.episodes.cutting import cut_decision, cut_message
from fama.episodes.records import (
    Decision,
    Episode,
    FunctionCall,
    LedgerRow,
    Message,
    Note,
    Outcome,
    ToolCall,
    ToolSpec,
    budget_tokens,
)
from fama.episodes.state import VisibleState
from fama.errors import BoundaryError
from fama.models.base import billed
from fama.registry import fault_of_plug_in
from fama.settings import ExperimentSettings
from fama.text.clean import clean

log = logging.getLogger(__name__)

#: Reason of an episode that ``limits.seconds`` ended: a limit by choice, no error.
OUT_OF_TIME = "wall_time"

DeciderFactory = Callable[[EpisodeSetup, ExperimentSettings, list[LedgerRow]], Decider]


async def run_episode(setup: EpisodeSetup, settings: ExperimentSettings, decider: DeciderFactory = Decider) -> Episode:
    """Run one episode to its end. An exception inside becomes an error outcome with its boundary.

    Limits end it with a reason of their own: ``max_steps``, ``max_tokens``, ``wall_time``, ``loop``,
    ``unparseable``; the environment then judges the state that was reached. ``decider`` makes what decides, with the
    list that it bills to.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = time.perf_counter()
    play = _Play(setup, settings, decider)
    judged: dict[str, Any]
    try:
        judged = await play.run()
    except BoundaryError as error:
        log.warning("task %s: %s error: %s", setup.key.task_id, error.boundary, error)
        rows = tuple(row.model_copy(update={"turn": len(play.decisions)}) for row in billed(error))
        play.ledger += rows
        setup.budget.charge(budget_tokens(rows, "helper") + budget_tokens(rows, "selector"))
        judged = {"outcome": Outcome(status="error", boundary=error.boundary, reason=clean(str(error)))}
    except Exception as error:
        fault = fault_of_plug_in(error)
        if fault is None:
            log.exception("task %s: error in the harness", setup.key.task_id)
        else:
            log.error("task %s: %s", setup.key.task_id, fault)  # noqa: TRY400 - the line holds what the traceback says
        reason = clean(f"{type(error).__name__}: {error}")
        judged = {"outcome": Outcome(status="error", boundary="harness", reason=reason)}
    finally:
        setup.budget.release()
    seconds = time.perf_counter() - clock + sum(row.seconds for row in play.ledger if row.cache_hit)
    return _episode(setup, play, judged, started, seconds)


def unplayed(setup: EpisodeSetup, settings: ExperimentSettings, reason: str) -> Episode:
    """Return the record of an episode whose process died: an error of the harness, without messages."""
    outcome = Outcome(status="error", boundary="harness", reason=clean(reason))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _episode(setup, _Play(setup, settings), {"outcome": outcome}, now, 0.0)


def _episode(setup: EpisodeSetup, play: "_Play", judged: dict[str, Any], started: str, seconds: float) -> Episode:
    key = setup.key
    return Episode(
        id=setup.id,
        benchmark=key.benchmark,
        benchmark_version=setup.benchmark_version,
        domain=key.domain,
        task_id=key.task_id,
        trial=key.trial,
        backbone=key.backbone,
        strategy=key.strategy,
        selector=setup.arm,
        messages=tuple(play.messages),
        tools=play.tools,
        decisions=tuple(play.decisions),
        ledger=tuple(play.ledger),
        **judged,
        seeds=dict(setup.seeds),
        prompt_hashes=dict(setup.prompt_hashes),
        config_hash=setup.config_hash,
        package_version=__version__,
        commit=setup.commit,
        started_at=started,
        seconds=round(seconds, 3),
    )


def action_message(action: Action, turn: int) -> Message:
    """Return the message that an action leaves in the conversation."""
    if action.tool is None:
        return Message(role="assistant", content=action.text)
    arguments = json.dumps(action.arguments, ensure_ascii=False)
    call = ToolCall(id=f"call_{turn}", function=FunctionCall(name=action.tool, arguments=arguments))
    return Message(role="assistant", content=action.text or None, tool_calls=(call,))


class _Play:
    """An episode under way; what it gathered survives an exception."""

    def __init__(self, setup: EpisodeSetup, settings: ExperimentSettings, decider: DeciderFactory = Decider) -> None:
        self.messages: list[Message] = []
        self.tools: tuple[ToolSpec, ...] = ()
        self.decisions: list[Decision] = []
        self.ledger: list[LedgerRow] = []
        self._setup = setup
        self._settings = settings
        self._decider = decider
        self._policy = ""
        self._seen: Counter[str] = Counter()

    async def run(self) -> dict[str, Any]:
        """Play to the end; return the outcome fields of the episode."""
        environment = self._setup.environment()
        observation = await environment.reset(self._setup.seeds["environment"])
        self._policy, self.tools = environment.policy, environment.tools
        self.messages += [Message(role="system", content=self._policy), *observation.before]
        self._hear(observation)
        reason = observation.reason or "done" if observation.done else await self._decisions(environment)
        verdict = environment.outcome()
        return {
            "outcome": Outcome(status="success" if verdict.success else "failure", reason=reason),
            "reward": verdict.reward,
            "reward_detail": dict(verdict.detail),
            "gold_actions": verdict.gold_actions,
            "instruction": verdict.instruction,
        }

    async def _decisions(self, environment: Environment) -> str:
        """Decide until something ends the episode; return what did."""
        limits = self._settings.limits
        decider = self._decider(self._setup, self._settings, self.ledger)
        started = time.monotonic()
        for turn in range(limits.steps):
            if time.monotonic() - started > limits.seconds:
                return OUT_OF_TIME
            if budget_tokens(tuple(self.ledger), "agent") >= limits.tokens:
                return "max_tokens"
            decided = await decider.decide(self._state(turn), len(self.messages))
            self.decisions.append(cut_decision(decided.decision, limits.message_chars))
            if decided.action is None:
                self._add(Message(role="assistant", content=decided.reply_text))
                return "unparseable"
            again = self._repeats(decided.action)
            self._say(decided.action, turn)
            if again >= limits.repeats:
                return "loop"
            observation = await environment.step(decided.action)
            self._hear(observation, f"call_{turn}" if decided.action.tool else None, decided.action.tool)
            if observation.done:
                return observation.reason or "done"
        return "max_steps"

    def _state(self, turn: int) -> VisibleState:
        noted: list[tuple[int, Note]] = [(d.turn, note) for d in self.decisions for note in d.notes]
        state = VisibleState(
            policy=self._policy,
            tools=self.tools,
            messages=tuple(self.messages[1:]),
            turn=turn,
            noted=tuple(noted),
            benchmark=self._setup.key.benchmark,
            domain=self._setup.key.domain,
        )
        reader = self._setup.reader
        return state if reader is None else replace(state, readings=reader.read(state))

    def _repeats(self, action: Action) -> int:
        """Count how often this very action was taken, this time included; words count per what they answer."""
        if action.tool is not None:
            sign = json.dumps([action.tool, action.arguments], sort_keys=True)
        else:
            sign = json.dumps([None, action.text, self.messages[-1].content])
        self._seen[sign] += 1
        return self._seen[sign]

    def _say(self, action: Action, turn: int) -> None:
        self._add(action_message(action, turn))

    def _hear(self, observation: Observation, call_id: str | None = None, tool: str | None = None) -> None:
        self.ledger += observation.ledger
        if observation.content is None:
            return
        content = clean(observation.content)
        if observation.role == "tool":
            failed = True if observation.failed else None
            self._add(Message(role="tool", content=content, tool_call_id=call_id, name=tool, failed=failed))
        else:
            self._add(Message(role="user", content=content))

    def _add(self, message: Message) -> None:
        """Keep a message within the limit; what acts and answers goes by the whole of it."""
        self.messages.append(cut_message(message, self._settings.limits.message_chars))
