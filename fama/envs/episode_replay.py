"""Playing a logged episode again: does an adapter give the reward that its benchmark gave?"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fama.dialogue.calls import PairedCall, pair_calls
from fama.envs.base import Action, Benchmark, Environment, UserModel
from fama.episodes.foreign.fields import REWARD_TOLERANCE
from fama.episodes.records import Episode, LedgerRow, Message
from fama.errors import ModelError, UserFault
from fama.models.base import ChatReply, ChatRequest

NOT_CARRIED_OUT = frozenset({"loop", "unparseable"})
"""Endings of our own loop whose last action never reached the environment."""


class LoggedUser:
    """Says what the user said in the log, turn by turn; it is a replay, not a model.

    Which of the logged turns comes next is read from the request, where the user's own turns so far are ``assistant``
    messages: words that an environment opens with, or that a task starts in the middle of, are not asked for.
    """

    def __init__(self, episode: Episode) -> None:
        self._words = tuple(m.content or "" for m in episode.messages if m.role == "user")

    @property
    def name(self) -> str:
        """Return the name in ledgers."""
        return "replay:user"

    def reply(self, request: ChatRequest) -> ChatReply | None:
        """Return the logged turn that answers a request; None where the log has no more."""
        said = sum(message["role"] == "assistant" for message in request.messages)
        if said >= len(self._words):
            return None
        return ChatReply(text=self._words[said], usage=LedgerRow(role=request.role, model=self.name))

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the next logged turn.

        Raises:
            ModelError: the log has no more.
        """
        reply = self.reply(request)
        if reply is None:
            raise ModelError("the log ends here")
        return reply


@dataclass(frozen=True)
class Replayed:
    """A replay: the rewards in the log and now, and what went differently first, empty if nothing did."""

    episode: Episode
    reward: float
    difference: str

    @property
    def agrees(self) -> bool:
        """True when the rewards are the same; a log without one agrees with nothing."""
        return self.episode.reward is not None and abs(self.reward - self.episode.reward) < REWARD_TOLERANCE


async def replay(benchmark: Benchmark, episode: Episode) -> Replayed:
    """Carry out an episode's actions against its logged user; tools answer anew.

    Raises:
        BadInput: the benchmark has no such task.
        BoundaryError: the environment failed.
    """
    environment, difference = await play_again(benchmark, episode)
    return Replayed(episode, environment.outcome().reward, difference)


async def play_again(benchmark: Benchmark, episode: Episode) -> tuple[Environment, str]:
    """Return the environment after an episode's actions, and the first answer that differed; empty if none.

    Several calls in one message are carried out one after the other. What the environment itself begins with, such as a
    greeting, is not said again. A user that the environment scripted speaks again, with the episode's seed.

    Raises:
        BadInput: the benchmark has no such task.
        BoundaryError: the environment failed.
    """
    user = None if _scripted_user(episode) else UserModel(LoggedUser(episode))
    environment = benchmark.environment(episode.domain, episode.task_id, user)
    observation = await environment.reset(episode.seeds.get("environment", 0))
    difference = ""
    start = _opening(episode.messages, observation.before)
    for index, action, result_step in _actions(episode):
        if index < start:
            continue
        if observation.done:
            break
        try:
            observation = await environment.step(action)
        except UserFault:
            if action.tool is not None or any(m.role == "user" for m in episode.messages[index + 1 :]):
                raise
            break  # the log was cut before the user answered
        if difference or observation.role != "tool" or result_step is None:
            continue
        if (observation.content or "") != (episode.messages[result_step].content or ""):
            difference = f"message {result_step}: the tool {action.tool} answers otherwise than in the log"
    return environment, difference


def _scripted_user(episode: Episode) -> bool:
    """Return whether no model played the user of an episode whose calls are known."""
    own = episode.source.importer == "fama"
    return own and bool(episode.ledger) and all(row.role != "user" for row in episode.ledger)


def _opening(messages: Sequence[Message], before: Sequence[Message]) -> int:
    """Return the index behind the messages that an environment begins with; 0 where the log lacks them."""
    start = next((i for i, message in enumerate(messages) if message.role != "system"), 0)
    logged = messages[start : start + len(before)]
    alike = [(m.role, m.content or "") for m in logged] == [(m.role, m.content or "") for m in before]
    return start + len(before) if alike else 0


def _actions(episode: Episode) -> Iterator[tuple[int, Action, int | None]]:
    """Yield what the agent did, with the index of its message and of the result; not what was never carried out."""
    made: defaultdict[int, list[PairedCall]] = defaultdict(list)
    for one in pair_calls(episode.messages):
        made[one.step].append(one)
    last = len(episode.messages) - (episode.outcome.reason in NOT_CARRIED_OUT)
    for index, message in enumerate(episode.messages[:last]):
        if message.role != "assistant":
            continue
        for _, call, result_step in made[index]:
            yield index, Action(tool=call.function.name, arguments=call.function.parsed()), result_step
        if not made[index]:
            yield index, Action(tool=None, text=message.content or ""), None
