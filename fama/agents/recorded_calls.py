"""Replies of recorded episodes, put into a response cache: a further arm asks only what no arm before it was asked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fama.agents.agent_request import demonstrations_of
from fama.agents.decision import action_request
from fama.agents.injection import Notes
from fama.agents.loop import action_message
from fama.agents.runs.run_config import config_hash
from fama.agents.strategies.base import STRATEGIES, Prompt
from fama.agents.strategies.parser import ParseFailure
from fama.envs.base import Benchmark
from fama.envs.mixed import MixedDomains
from fama.episodes.records import Decision, Episode, Message, ToolSpec
from fama.models.base import ChatReply, ChatRequest
from fama.models.cache import ReplyCache
from fama.models.connect import cached_name, recorded_name
from fama.prompts import prompt_hash
from fama.settings import ExperimentSettings

OTHER_RUN = "of episodes run with other settings"
OTHER_BENCHMARK = "of episodes of another version of the benchmark"
OTHER_PROMPT = "of episodes with another version of the agent's prompt"
UNREADABLE = "whose first reply could not be read"
CUT = "whose reply is stored cut"


class RecordedCall(NamedTuple):
    """The call of a decision, and its reply as far as the episode holds it."""

    request: ChatRequest
    reply: ChatReply
    prompt: Prompt
    tools: tuple[ToolSpec, ...]


class Kept(NamedTuple):
    """Replies put into a cache, decisions whose reply it held, of these with another reply, and what was left out."""

    new: int
    there: int
    other: int
    left_out: Mapping[str, int]


class RecordedReplies:
    """Rebuilds the calls of a run's agent from its episodes.

    A note stands in the record, so a call is rebuilt without asking a helper. Of the reply the action is left, and
    with ``react`` the thought before a call: what later prompts hold of it.
    """

    def __init__(self, settings: ExperimentSettings, benchmark: Benchmark) -> None:
        self._settings, self._benchmark = settings, benchmark
        self._strategy = STRATEGIES.load(settings.strategy)()
        self._hash = config_hash(settings)
        self._versions = MixedDomains(benchmark).versions(settings.domain)
        self._prompt = prompt_hash(self._strategy.template)
        self._shown: dict[str, list[Sequence[Message]]] = {}

    def keep(self, episodes: Iterable[Episode], folder: Path) -> Kept:
        """Put the replies of episodes into the cache of a folder; those that it holds stay.

        Two episodes may hold different replies to one request, of a server that does not answer alike: the first stays,
        and the second is counted as ``other``.

        Raises:
            BadInput: the folder cannot hold a cache.
        """
        caches: dict[str, ReplyCache] = {}
        counts: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        for episode in episodes:
            if fault := self._fault(episode):
                left_out[fault] += len(episode.decisions)
                continue
            for decision in episode.decisions:
                found = self.rebuild(episode, decision)
                if isinstance(found, str):
                    left_out[found] += 1
                    continue
                model = found.reply.usage.model
                if model == recorded_name(self._settings.model):
                    model = cached_name(self._settings.model)
                cache = caches[model] = caches.get(model) or ReplyCache(folder, model)
                known = cache.get(found.request)
                counts["new" if known is None else "there"] += 1
                if known is None:
                    cache.keep(found.request, found.reply)
                elif self._message(known, found, decision.turn) != episode.messages[decision.message_index]:
                    counts["other"] += 1
        return Kept(counts["new"], counts["there"], counts["other"], left_out)

    def rebuild(self, episode: Episode, decision: Decision) -> RecordedCall | str:
        """Return the call of a decision with its reply, or why it cannot be rebuilt."""
        rows = [row for row in episode.ledger if row.role == "agent" and row.turn == decision.turn]
        if len(rows) != 1 or not rows[0].parsed:
            return UNREADABLE
        policy, *before = episode.messages[: decision.message_index]
        message = episode.messages[decision.message_index]
        settings, strategy = self._settings, self._strategy
        note = Notes(decision.notes, decision.rejected).text
        if episode.domain not in self._shown:
            self._shown[episode.domain] = demonstrations_of(settings, self._benchmark, episode.domain)
        shown = self._shown[episode.domain]
        prompt = strategy.prompt(before, policy.content or "", episode.tools, shown, note, settings.placement)
        if max(map(len, _texts(message)), default=0) > settings.limits.message_chars:
            return CUT
        written = strategy.write(message)
        usage = rows[0].model_copy(update={"turn": None, "cache_hit": False})
        reply = ChatReply(prompt.note_prefix + written.text, usage, written.tool_calls)
        request = action_request(prompt, settings.model, episode.seeds["model"], episode.trial, decision.turn)
        found = RecordedCall(request, reply, prompt, episode.tools)
        return found if self._message(reply, found, decision.turn) == message else UNREADABLE

    def _message(self, reply: ChatReply, call: RecordedCall, turn: int) -> Message | None:
        """Return what a reply to a call leaves in the conversation; None where no action can be read."""
        action = self._strategy.parse(reply, call.prompt, call.tools)
        return None if isinstance(action, ParseFailure) else action_message(action, turn)

    def _fault(self, episode: Episode) -> str | None:
        if episode.config_hash != self._hash or "model" not in episode.seeds:
            return OTHER_RUN
        if episode.benchmark_version != self._versions.get(episode.domain):
            return OTHER_BENCHMARK
        if episode.prompt_hashes.get(self._strategy.template) != self._prompt:
            return OTHER_PROMPT
        return None


def _texts(message: Message) -> list[str]:
    return [message.content or "", *(call.function.arguments for call in message.tool_calls or ())]
