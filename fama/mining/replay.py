"""Replay of a logged episode until an action changes: its decisions for free, its observations checked."""

from dataclasses import dataclass, replace

from fama.agents.decision import Decided, Decider
from fama.agents.setup import EpisodeSetup
from fama.envs.base import Action
from fama.envs.episode_replay import LoggedUser
from fama.episodes.records import Decision, Episode, LedgerRow, Message
from fama.episodes.state import VisibleState
from fama.errors import EnvironmentFault, UserFault
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.settings import ExperimentSettings

#: Characters of an observation that a message quotes.
_QUOTE = 60


class Differs(EnvironmentFault):
    """The replay is not the logged episode."""


@dataclass
class Replay:
    """Position of a run relative to the episode that it replays.

    ``on`` holds while everything the agent did is as logged. ``sampled`` takes it off at the first decision with a
    note, also where the action is as logged: for continuations that are drawn anew. ``difference`` is the place of
    the first observation that is not as logged.
    """

    log: Episode
    on: bool = True
    sampled: bool = False
    difference: str | None = None

    def check(self, state: VisibleState) -> None:
        """Compare what is visible with the log; nothing once the agent has acted otherwise.

        Raises:
            Differs: something is not as logged, or the logged episode ended here.
        """
        if not self.on:
            return
        self.difference = _difference(self.log, state)
        if self.difference is not None:
            raise Differs(self.difference)

    def logged(self, turn: int) -> Decided | None:
        """Return the logged action with a decision's message; None off the log."""
        return logged_action(self.log, turn) if self.on else None

    def took(self, decided: Decided, turn: int) -> None:
        """Follow the run: off the log from the first action or thought that is not the logged one."""
        if self.on:
            before = logged_action(self.log, turn)
            same = decided.action == before.action  # with its thought: prompts that follow hold it
            if decided.action is None:
                same = same and decided.reply_text == before.reply_text
            self.on = same and not self.sampled


def logged_action(log: Episode, turn: int) -> Decided:
    """Return what was decided at a decision of an episode; the action is None where no reply could be read."""
    decision = log.decisions[turn]
    message = log.messages[decision.message_index]
    last = turn == len(log.decisions) - 1
    if last and log.outcome.reason == "unparseable":
        return Decided(None, message.content or "", decision)
    if message.tool_calls:
        call = message.tool_calls[0].function
        return Decided(Action(call.name, call.parsed(), message.content or ""), message.content or "", decision)
    return Decided(Action(None, text=message.content or ""), message.content or "", decision)


class ReplayingDecider(Decider):
    """Decides as logged, without a call of the backbone, while the run is as logged and has the logged notes."""

    def __init__(
        self, setup: EpisodeSetup, settings: ExperimentSettings, ledger: list[LedgerRow], replay: Replay
    ) -> None:
        super().__init__(setup, settings, ledger)
        self._replay = replay
        self._billed = ledger

    async def decide(self, state: VisibleState, message_index: int) -> Decided:
        """Decide on the coming action.

        Raises:
            Differs: an observation is not as logged.
            ModelError: a model failed.
        """
        self._replay.check(state)
        return await super().decide(state, message_index)

    async def answer(self, state: VisibleState, decision: Decision, note: str) -> Decided:
        """Return the logged action where nothing has changed, the backbone's elsewhere."""
        logged = self._replay.logged(state.turn)
        if logged is not None and decision.notes == logged.decision.notes:
            rows = [row for row in self._replay.log.ledger if row.turn == state.turn and row.role == "agent"]
            self._billed += [row.model_copy(update={"cache_hit": True}) for row in rows]
            return Decided(logged.action, logged.reply_text, decision)
        decided = await super().answer(state, decision, note)
        self._replay.took(decided, state.turn)
        return decided


class RecordedUser:
    """Says what the user said in the log while the run is as logged; then ``live`` answers, if there is one."""

    def __init__(self, replay: Replay, live: ChatModel | None) -> None:
        self._replay = replay
        self._live = live
        self._logged = LoggedUser(replay.log)

    @property
    def name(self) -> str:
        """Return the name in ledgers."""
        return self._logged.name if self._live is None else self._live.name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the next logged turn, or the live user's.

        Raises:
            UserFault: nobody can answer what the agent did not say in the log, or the user has tools, whose calls the
                log does not hold.
        """
        if request.tools:
            raise UserFault("a recorded user cannot repeat calls of its own tools, which no log holds; set user=live")
        reply = self._logged.reply(request) if self._replay.on else None
        if reply is not None:
            return replace(reply, usage=reply.usage.model_copy(update={"model": self.name}))
        if self._live is None:
            raise UserFault("a recorded user cannot answer words that are not in the log; set user=recorded or live")
        return await self._live.complete(request)


def said_alike(now: Message, then: Message) -> bool:
    """Return whether two messages are equal but for the flag of a failed call, which older logs lack."""
    return now == then or now.model_copy(update={"failed": then.failed}) == then


def _difference(log: Episode, state: VisibleState) -> str | None:
    """Return the place where a state is not the logged one; None where it is."""
    now = (Message(role="system", content=state.policy), *state.messages)
    for index, message in enumerate(now):
        if index >= len(log.messages):
            return f"message {index}: the log has ended before it"
        if not said_alike(message, log.messages[index]):
            return f"message {index}: {_told(message)} now, {_told(log.messages[index])} in the log"
    if state.tools != log.tools:
        return "the tools are not those of the log"
    if state.turn >= len(log.decisions):
        return f"decision {state.turn}: the log has ended before it ({log.outcome.reason})"
    return None


def _told(message: Message) -> str:
    content = message.content or ""
    return f"{message.role} {content[:_QUOTE] + ('…' if len(content) > _QUOTE else '')!r}"
