"""The chat endpoint: a request gets its notes, goes upstream, and its answer comes back as it is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import aiohttp

from fama.advising.advice import Advice
from fama.advising.conversation import tools_in
from fama.advising.note_refusals import PAUSE_SECONDS, REFUSALS, NoteRefusals, conversation_opening
from fama.episodes.records import LedgerRow
from fama.execution.background import is_cancelled
from fama.serving.advice_report import advice_field, advice_headers
from fama.serving.body import ChatBody, parse_body
from fama.serving.counters import Metrics
from fama.serving.events import (
    Assembled,
    EventSplitter,
    OpeningFilter,
    choices_of,
    ends_stream,
    event_data,
    failure_status,
    first_said,
    is_failure,
)
from fama.serving.faults import Fault, too_many
from fama.serving.recording.exchange import Exchange
from fama.serving.replies import whole_reply
from fama.serving.request import ClientGone, check_access, check_form, read_body
from fama.serving.settings import ServeSettings
from fama.serving.upstream import Upstream, is_success, reply_headers

log = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], Any]
#: Takes the upstream's reply as soon as it is whole; None where it cannot be recorded.
_Whole = Callable[[dict[str, Any] | None], None]
#: Bytes of a request that is read in milliseconds.
_SHORT = 2**16
#: Pieces of a stream that are held back at most while its first event is waited for: some routers send comments first,
#: which keep the client's connection open.
_HELD = 4
#: Failures of notes with which the upstream does not take a request: this one, and so many before it that it got none.
_UNTAKEN, _PAUSED = "refused", "refused_before"


class Adviser(Protocol):
    """Gives advice; ``fama.Advisor`` is one. ``ledger`` gets its calls, those of an advice that fails, too."""

    async def advise_async(self, messages: Any, tools: Any = None, *, ledger: list[LedgerRow] | None = None) -> Advice:
        """Return the notes for a request, computed elsewhere, so that other requests go on meanwhile."""
        ...

    async def advise_here(self, messages: Any, tools: Any = None, *, ledger: list[LedgerRow] | None = None) -> Advice:
        """Return the notes for a short request, without a way to another thread where that takes longer than them."""
        ...

    def take_back(self, advice: Advice) -> None:
        """Forget the notes of an advice that the agent never saw."""
        ...


class Recorder(Protocol):
    """Keeps exchanges; never raises."""

    async def record(self, exchange: Exchange) -> None:
        """Keep one."""
        ...


@dataclass(frozen=True)
class _Asked:
    """A request as it was given, and as it goes upstream."""

    tree: dict[str, Any]
    body: bytes
    advice: Advice | None
    failure: str | None

    @property
    def asker(self) -> tuple[str, str]:
        """Return the model and the conversation of the request."""
        return _asker(self.tree)

    @property
    def opening(self) -> str:
        return self.advice.opening if self.advice is not None and self.advice.text else ""


class ChatEndpoint:
    """ASGI application of ``POST /v1/chat/completions``."""

    def __init__(
        self,
        settings: ServeSettings,
        adviser: Adviser,
        upstream: Upstream,
        metrics: Metrics,
        recorder: Recorder | None,
        key: str | None,
    ) -> None:
        self._limits = settings.limits
        self._adviser, self._upstream, self._metrics, self._recorder = adviser, upstream, metrics, recorder
        self._key = key
        self._refusals = NoteRefusals()
        self._in_flight = 0
        #: Exchanges that are asked for or wait to be recorded: where recording is behind, requests wait, too.
        self._unrecorded = asyncio.Semaphore(settings.limits.in_flight)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        answer = _Answer(send, self._limits.client_seconds, self._metrics)
        started = time.perf_counter()
        if self._in_flight >= self._limits.in_flight:
            await answer.fault(too_many(self._limits.in_flight))
            return
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            await self._answer(scope["headers"], receive, answer)
        except ClientGone:
            if not answer.whole:
                self._metrics.cancelled.inc()
        except Fault as fault:
            await answer.fault(fault)
        except Exception as error:  # noqa: BLE001 - an error's text may hold what a client sent
            log.error("a chat request failed here: %s", type(error).__name__)
            await answer.fault(Fault(500, "internal_error", f"this server failed ({type(error).__name__})"))
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
            self._metrics.seconds.observe(time.perf_counter() - started)
            self._metrics.spend(answer.ledger)
            try:
                if self._recorder is not None:
                    if answer.exchange is not None:
                        await self._recorder.record(answer.exchange)
                    elif answer.unreadable:
                        self._metrics.unrecorded.labels("no_whole_reply").inc()
            finally:
                if answer.to_record:
                    self._unrecorded.release()

    async def _answer(self, headers: list[tuple[bytes, bytes]], receive: Any, answer: "_Answer") -> None:
        named = dict(headers)
        check_access(named, self._key)
        check_form(named, self._limits)
        given = parse_body(await read_body(receive, self._limits), self._limits)
        work = asyncio.create_task(self._ask(headers, given.content, given, answer))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not answer.finished:
                raise ClientGone
            await work
        finally:
            await _end(work)
            await _end(gone)

    async def _ask(self, headers: list[tuple[bytes, bytes]], body: bytes, given: ChatBody, answer: "_Answer") -> None:
        """Answer; the answer gets its exchange as soon as the upstream's reply is whole."""
        if self._recorder is not None:
            answer.to_record = await self._unrecorded.acquire()
        asked = await self._advised(body, given, answer.ledger)
        if not await self._is_answered(headers, asked, answer, noted=asked.body is not body):
            if asked.advice is not None:
                self._adviser.take_back(asked.advice)
            await self._is_answered(headers, replace(asked, body=body, advice=None, failure=_UNTAKEN), answer)

    async def _is_answered(
        self, headers: list[tuple[bytes, bytes]], asked: _Asked, answer: "_Answer", noted: bool = False
    ) -> bool:
        """Pass the upstream's answer on; return False in place of one that refuses a request with notes."""
        began, started_at = time.perf_counter(), time.time()
        async with self._upstream.ask("POST", "/chat/completions", headers, asked.body) as response:
            if noted and response.status in REFUSALS:
                return False

            def whole(reply: dict[str, Any] | None) -> None:
                answer.whole = True
                answer.unreadable = reply is None and is_success(response)
                if reply is not None and is_success(response):
                    seconds = time.perf_counter() - began
                    spent = tuple(answer.ledger) if asked.advice is None else ()
                    answer.exchange = Exchange(asked.tree, reply, asked.advice, started_at, seconds, spent)

            passed = self._stream if _is_stream(response, asked.tree) else self._whole
            return await passed(response, asked, answer, whole, noted)

    def _is_taken(self, asked: _Asked, noted: bool, said: dict[str, Any] | None) -> bool:
        """Count a request that got a 200; return False where what it says first refuses the request with its notes."""
        if failure_status(said) in REFUSALS:
            return not noted
        self._count(asked, noted)
        return True

    def _count(self, asked: _Asked, noted: bool) -> None:
        """Count a request that the upstream took: with its notes, without any, or only without them."""
        if noted and asked.advice is not None:
            self._metrics.count_notes(asked.advice)
            self._refusals.taken(*asked.asker)
        elif asked.failure == _UNTAKEN:
            self._metrics.failed.inc()
            log.warning("no notes for a request: the upstream refuses it with them")
            if whose := self._refusals.refused(*asked.asker):
                told = "no notes for %s %.80r for %d s: the upstream refuses requests with them"
                log.warning(told, whose, asked.asker[0], PAUSE_SECONDS)

    async def _advised(self, body: bytes, given: ChatBody, ledger: list[LedgerRow]) -> _Asked:
        """Put the notes into a request. Without one, after an error and where it is too long, its bytes stay."""
        tree = given.tree
        if len(body) > self._limits.advice_bytes:
            self._metrics.failed.inc()
            log.warning("no notes for a request: %d bytes are more than limits.advice_bytes", len(body))
            return _Asked(tree, body, None, "too_long")
        if self._refusals.paused(*_asker(tree)):
            self._metrics.failed.inc()
            return _Asked(tree, body, None, _PAUSED)
        advice = None
        try:
            async with asyncio.timeout(self._limits.advice_seconds):
                advise = self._adviser.advise_here if len(body) <= _SHORT else self._adviser.advise_async
                advice = await advise(tree["messages"], tools_in(tree), ledger=ledger)
            noted = given.with_messages(advice.messages(), advice.extra_body) if advice.text else body
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - helpers and routers never fail a request
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            if advice is not None:
                self._adviser.take_back(advice)
            self._metrics.failed.inc()
            log.warning("no notes for a request: %s", type(error).__name__)
            return _Asked(tree, body, None, type(error).__name__)
        self._metrics.count(advice)
        return _Asked(tree, noted, advice, None)

    async def _whole(
        self, response: aiohttp.ClientResponse, asked: _Asked, answer: "_Answer", whole: _Whole, noted: bool
    ) -> bool:
        body = await self._upstream.read(response)
        tree = None
        if is_success(response):
            reply = whole_reply(body, asked.opening, advice_field(asked.advice, asked.failure))
            body, tree = reply.body, reply.tree
            if not self._is_taken(asked, noted, tree):
                return False
        headers = [*reply_headers(response, unpacked=True), *advice_headers(asked.advice, asked.failure)]
        await answer.start(response.status, [*headers, (b"content-length", str(len(body)).encode())])
        await answer.piece(body, last=True)
        whole(tree if tree is not None and choices_of(tree) and not is_failure(tree) else None)
        return True

    async def _stream(
        self, response: aiohttp.ClientResponse, asked: _Asked, answer: "_Answer", whole: _Whole, noted: bool
    ) -> bool:
        """Pass the events on as they come: byte for byte, but for an opening that the upstream repeats.

        Of a request with notes the first event is waited for: it may refuse them, behind a 200 (SGLang, vLLM).
        The reply is whole at ``[DONE]``: clients go then, and whatever becomes of the upstream takes nothing from it.
        One that goes before, at the last ``finish_reason``, has had it, too.
        """
        kept = Assembled(self._limits.reply_bytes) if self._recorder is not None else None
        opening = OpeningFilter(asked.opening) if asked.opening else None
        splitter = EventSplitter()
        watched = noted or asked.failure == _UNTAKEN
        unpacked = opening is not None or kept is not None or watched
        pieces = self._upstream.pieces(response, unpacked)
        first, begun = await _beginning(pieces, splitter) if watched and is_success(response) else (b"", [])
        if is_success(response) and not self._is_taken(asked, noted, event_data(first_said(begun) or b"")):
            return False
        headers = [*reply_headers(response, unpacked), *advice_headers(asked.advice, asked.failure)]
        await answer.start(response.status, headers)

        async def take(events: list[bytes], piece: bytes) -> None:
            if opening is not None:
                events = [one for event in events for one in opening.passed(event)]
            await answer.piece(piece if opening is None else b"".join(events))
            if kept is not None:
                for event in events:
                    kept.add(event)
            if any(map(ends_stream, events)):
                whole(kept.whole() if kept is not None else None)

        try:
            await take(begun, first)
            async for piece in pieces:
                await take(splitter.feed(piece), piece)
        except (TimeoutError, aiohttp.ClientError) as error:
            if not answer.whole:
                await self._broken(answer, error)
                return True
        except (ClientGone, asyncio.CancelledError):
            if kept is not None and not answer.whole and (finished := kept.whole()) is not None:
                whole(finished)
            raise
        tail = splitter.end()
        await take([tail], b"")
        rest = b"".join(opening.rest()) if opening is not None else b""
        await answer.piece(b"\n\n" + rest if tail and rest else rest, last=True)
        whole(kept.whole() if kept is not None else None)
        return True

    async def _broken(self, answer: "_Answer", error: Exception) -> None:
        """End a stream with an error that OpenAI's clients raise."""
        fault = Fault(502, "upstream_broke_off", "the upstream broke off its reply")
        if isinstance(error, TimeoutError):
            fault = Fault(502, "upstream_timeout", "the upstream fell silent within its reply")
        self._metrics.refused.labels(fault.reason).inc()
        await answer.piece(b"\n\ndata: " + fault.body() + b"\n\n", last=True)


class _Answer:
    """The answer to one request; a client that does not take it in time is given up."""

    def __init__(self, send: Send, seconds: float, metrics: Metrics) -> None:
        self._send, self._seconds, self._metrics = send, seconds, metrics
        self._started = False
        self.finished = self.to_record = False
        #: Whether the upstream's reply has come to its end, whether it was none to keep, and the exchange to record.
        self.whole = self.unreadable = False
        self.exchange: Exchange | None = None
        #: Calls of helpers and selection.
        self.ledger: list[LedgerRow] = []

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        self._metrics.answers.labels(str(status)).inc()
        await self._pass({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, body: bytes, last: bool = False) -> None:
        if body or last:
            await self._pass({"type": "http.response.body", "body": body, "more_body": not last})
        self.finished |= last

    async def fault(self, fault: Fault) -> None:
        """Answer with an error of this server, unless an answer has begun."""
        self._metrics.refused.labels(fault.reason).inc()
        if self._started:
            return
        body = fault.body()
        more = [(name.encode(), value.encode()) for name, value in fault.headers.items()]
        length = (b"content-length", str(len(body)).encode())
        with suppress(ClientGone):
            await self.start(fault.status, [(b"content-type", b"application/json"), length, *more])
            await self.piece(body, last=True)

    async def _pass(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            self._metrics.refused.labels("slow_client").inc()
            raise ClientGone from None


def _asker(tree: dict[str, Any]) -> tuple[str, str]:
    return str(tree.get("model")), conversation_opening(tree["messages"])


def _is_stream(response: aiohttp.ClientResponse, asked: dict[str, Any]) -> bool:
    """Return whether a reply is passed on as it comes: events, or what was asked for as such and is not said to be."""
    media = response.headers.get("content-type", "").lower()
    return media.startswith("text/event-stream") or (not media and is_success(response) and asked.get("stream") is True)


async def _beginning(pieces: AsyncIterator[bytes], splitter: EventSplitter) -> tuple[bytes, list[bytes]]:
    """Return a stream's bytes up to the piece with its first event that says something, and the events in them."""
    read: list[bytes] = []
    events: list[bytes] = []
    async for piece in pieces:
        read.append(piece)
        events += splitter.feed(piece)
        if len(read) == _HELD or first_said(events) is not None:
            break
    return b"".join(read), events


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel what is under way and wait for its end, however it ends."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()
