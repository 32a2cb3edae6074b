"""Requests put together to conversations, each of which becomes one episode."""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fama.episodes.cutting import cut_decision, cut_message
from fama.episodes.records import Episode, Message, Source
from fama.episodes.store import SERVED
from fama.serving.counters import Metrics
from fama.serving.recording.exchange import Exchange, comparable_text, echoes
from fama.serving.recording.hooks import Hook, load_hook
from fama.serving.recording.recorded_folder import RecordFolder
from fama.serving.settings import RecordSettings

log = logging.getLogger(__name__)
#: Times per ``idle_seconds`` that silent conversations are looked for.
_SWEEPS = 4
#: Seconds after an answer within which the same request may be a client's retry; OpenAI's clients wait 8 s at most.
_RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class _Open:
    """A conversation that may go on: the hash of its latest request's messages, their model, and the replies to them.

    ``first`` says that this request opened it. A spare one is a retry of the first request of another, ``of``, unless
    it goes on. One that is ``over`` was closed, after a pause or for room, and may still go on: in an episode that says
    so and holds all of it.
    """

    id: str
    prefix: str
    model: str | None
    answers: tuple[Message, ...]
    touched: float
    answered_at: float
    first: bool
    of: str | None = None
    over: bool = False

    @property
    def spare(self) -> bool:
        return self.of is not None


class ConversationRecorder:
    """Records exchanges in a thread of its own, in the order in which they were answered.

    A request goes on with the open conversation whose messages it begins with and whose reply it repeats next; the
    longer one takes its place. A request that begins with none opens one. So does one that goes on with a conversation
    that was closed meanwhile, but with all that was recorded of it: readers leave the shorter episode out.

    A request that is sent to the same model and answered like an open conversation's latest one, within seconds of its
    answer, is a client's retry and no conversation of its own. Which of both a first request is shows later: it opens a
    spare one, whose cost goes to the first one unless it goes on.
    """

    def __init__(
        self,
        settings: RecordSettings,
        folder: Path,
        selector: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        config_hash: str | None = None,
    ) -> None:
        """Take the folder; ``config_hash`` tells records of other settings apart.

        Raises:
            BadInput: a hook cannot be loaded, or another process writes into the folder.
        """
        self._settings, self._selector, self._metrics, self._clock = settings, selector, metrics, clock
        self._config_hash = config_hash
        self._hook = load_hook(settings.hook) if settings.hook else None
        closing = load_hook(settings.closing_hook, "record.closing_hook") if settings.closing_hook else None
        sure = None if closing is None else self._surely(closing)
        self._folder = RecordFolder(folder, settings.file_bytes, settings.total_bytes, sure)
        self._metrics.recorded.inc(self._folder.recovered)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        #: Closed ones, as many as may be open.
        self._over: OrderedDict[str, _Open] = OrderedDict()
        self._by_prefix: dict[str, list[str]] = {}
        self._thread = ThreadPoolExecutor(1, "fama-record")

    def __len__(self) -> int:
        return len(self._open)

    async def record(self, exchange: Exchange) -> None:
        """Keep an exchange; a failure is counted and never raised."""
        await self._run(lambda: self._take(exchange))

    async def finish(self, everything: bool = False) -> None:
        """Close conversations that are silent for long, or all of them."""
        await self._run(lambda: self._finish(everything))

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Close silent conversations now and then; at the end all of them, and give the folder back."""
        task = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.finish(everything=True)
            self._thread.shutdown()
            self._folder.release()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.idle_seconds / _SWEEPS)
            await self.finish()

    async def _run(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001 - a full disk or a hook's fault fails no request; texts may be private
            self._failed("not recorded", error)

    def _failed(self, what: str, error: Exception) -> None:
        self._metrics.unrecorded.labels(type(error).__name__).inc()
        log.warning("%s: %s", what, type(error).__name__)

    def _surely(self, hook: Hook) -> Hook:
        """Return a hook that keeps an episode as it is where ``hook`` fails."""

        def sure(episode: Episode) -> Episode | None:
            try:
                kept = hook(episode)
                return None if kept is None else Episode.model_validate(kept)
            except Exception as error:  # noqa: BLE001 - a hook is the user's own
                self._failed("closed without its hook", error)
                return episode

        return sure

    def _take(self, exchange: Exchange) -> None:
        if not exchange.answers:
            return
        *_, (_, prefix) = exchange.prefixes
        known = self._continued(exchange)
        repeats = known is not None and known.prefix == prefix
        of = known.id if known is not None and repeats and known.first else None
        if of is not None:
            known = None
        id_ = known.id if known is not None and not known.over else secrets.token_hex(8)
        before = self._before(known)
        names = (self._selector, self._settings.benchmark, self._settings.domain)
        episode = exchange.episode(id_, *names, before)
        kept_messages = tuple(cut_message(message, self._settings.message_chars) for message in episode.messages)
        kept_decisions = tuple(cut_decision(one, self._settings.message_chars) for one in episode.decisions)
        changed = {"messages": kept_messages, "decisions": kept_decisions, "config_hash": self._config_hash}
        episode = episode.model_copy(update=changed)
        kept = self._hook(episode) if self._hook is not None else episode
        if kept is None:
            self._folder.drop(id_)
        else:
            self._folder.keep(kept.model_copy(update={"id": id_}))
        if known is not None and repeats:
            return
        if known is not None:
            self._forget(known)
        self._open[id_] = _Open(
            id_,
            prefix,
            exchange.model,
            exchange.answers,
            self._clock(),
            exchange.answered_at,
            first=known is None,
            of=of,
        )
        self._by_prefix.setdefault(prefix, []).append(id_)
        if len(self._open) > self._settings.open:
            self._close([next(iter(self._open.values()))])

    def _before(self, known: _Open | None) -> Episode | None:
        """Return the episode of a conversation so far; of one that was closed, with its mark that it went on."""
        if known is None or not known.over:
            return None if known is None else self._folder.read(known.id)
        closed, source = self._folder.closed(known.id), Source(importer=SERVED, continues=known.id)
        return None if closed is None else closed.model_copy(update={"source": source})

    def _continued(self, exchange: Exchange) -> _Open | None:
        """Return the conversation that an exchange goes on with, or the open one whose latest request it repeats.

        One that lacks just this exchange comes before a repeated one, since conversations may be equal word for word;
        one of another model comes behind it, which may have been asked the same.
        """
        *before, (_, whole) = exchange.prefixes
        found = [self._echoed(exchange, place, prefix) for place, prefix in reversed(before)]
        lacking = found[0] if found and found[0] is not None and found[0].model == exchange.model else None
        in_order = (lacking, self._repeated(exchange, whole), *found)
        return next((one for one in in_order if one is not None), None)

    def _echoed(self, exchange: Exchange, place: int, prefix: str) -> _Open | None:
        """Return the conversation whose reply a message is; an equal reply comes before one that was cut."""
        said, ones = exchange.messages[place], self._with_prefix(prefix, exchange.model)
        equal = (one for one in ones if any(comparable_text(said) == comparable_text(answer) for answer in one.answers))
        alike = (one for one in ones if any(echoes(said, answer) for answer in one.answers))
        return next(equal, None) or next(alike, None)

    def _repeated(self, exchange: Exchange, whole: str) -> _Open | None:
        """Return the conversation whose latest request an exchange retries; asked before its answer it is another."""
        words = [comparable_text(answer) for answer in exchange.answers]
        for one in self._with_prefix(whole, exchange.model):
            soon = 0 <= exchange.started_at - one.answered_at <= _RETRY_SECONDS
            same = one.model == exchange.model and [comparable_text(answer) for answer in one.answers] == words
            if soon and same and not (one.spare or one.over):
                return one
        return None

    def _with_prefix(self, prefix: str, model: str | None) -> list[_Open]:
        """Return the conversations after the same messages, those of a model and then the newest first.

        Of each model spare ones and then closed ones come last.
        """
        found = [self._open.get(id_) or self._over[id_] for id_ in reversed(self._by_prefix.get(prefix, []))]
        return sorted(found, key=lambda one: (one.model != model, one.over, one.spare))

    def _finish(self, everything: bool) -> None:
        limit = self._clock() - self._settings.idle_seconds
        self._close([one for one in self._open.values() if everything or one.touched <= limit])

    def _close(self, found: list[_Open]) -> None:
        ids = {one.id for one in found}
        found += [one for one in self._open.values() if one.of in ids and one.id not in ids]
        for one in found:
            if one.of is not None:
                self._fold(one.id, one.of)
        self._metrics.recorded.inc(self._folder.close([one.id for one in found if not one.spare]))
        for one in found:
            self._forget(one)
            if not one.spare:
                self._over[one.id] = replace(one, over=True)
                self._by_prefix.setdefault(one.prefix, []).append(one.id)
        while len(self._over) > self._settings.open:
            self._forget(next(iter(self._over.values())))

    def _fold(self, spare: str, of: str) -> None:
        """Drop a spare conversation; what it cost was spent on the one whose request it repeated."""
        again, first = self._folder.read(spare), self._folder.read(of)
        if again is not None and first is not None:
            self._folder.keep(first.model_copy(update={"ledger": (*first.ledger, *again.ledger)}))
        self._folder.drop(spare)

    def _forget(self, one: _Open) -> None:
        del (self._over if one.over else self._open)[one.id]
        ids = self._by_prefix[one.prefix]
        ids.remove(one.id)
        if not ids:
            del self._by_prefix[one.prefix]
