"""A client of the openai package with notes placed before each of its chat requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any, Self, TypeVar, cast

from fama.advising.advice import Advice
from fama.advising.advisor import Advisor
from fama.advising.conversation import tools_in
from fama.advising.note_refusals import PAUSE_SECONDS, REFUSALS, conversation_opening
from fama.advising.repeated_notes import StreamedReply, ends_words, own_content
from fama.errors import BadInput
from fama.execution.background import is_cancelled

log = logging.getLogger(__name__)
Client = TypeVar("Client")
#: A request, and the advice whose notes it has, if any; ``opened`` says that a note may open the reply.
_Noted = tuple[dict[str, Any], Advice | None]
#: Parts of a client, and of its beta, that ask a model and get no notes.
_UNADVISED = frozenset({"responses", "completions", "realtime", "live", "threads", "agents"})
#: Methods of a client that return another client.
_COPIES = frozenset({"copy", "with_options"})
#: Views of a client, a chat or completions that give a reply with its headers.
_RAW = frozenset({"with_raw_response", "with_streaming_response"})
#: The header by which such a view asks for its reply.
_RAW_HEADER = "x-stainless-raw-response"


def wrap(client: Client, advisor: Advisor) -> Client:
    """Return a client like ``client`` whose ``chat.completions`` place notes before each request.

    For ``OpenAI`` and ``AsyncOpenAI`` and what is used like them: ``create``, ``stream`` and ``parse``, also through
    ``beta``, ``with_options`` and the raw responses. Everything else passes through; that the Responses API and other
    ways to ask a model get no notes is logged where one is used. The caller's messages are not changed, and a note that
    the server repeats is taken off the reply, so that no history holds one; ``parse`` and raw responses, off which it
    cannot be taken, get no note that opens the reply (``placement="assistant"``). A failure of the advisor never fails
    a request: it goes on without notes, which is logged and counted in the advisor's ``failures``; so is one that the
    endpoint refuses with its note, and where it refuses several in a row the model gets none for some minutes. A
    wrapped client gets the advisor in place of the one that it has.

    Raises:
        BadInput: the client has no ``chat.completions``, or the advisor gives no advice.
    """
    inner = client._inner if isinstance(client, WrappedClient) else client
    if not hasattr(getattr(inner, "chat", None), "completions"):
        raise BadInput(f"client: a {type(client).__name__}, without chat.completions; give OpenAI() or AsyncOpenAI()")
    if not callable(getattr(advisor, "advise_async", None)):
        raise BadInput(f"advisor: a {type(advisor).__name__}; give a fama.Advisor")
    return cast(Client, WrappedClient(inner, advisor))


class _Passing:
    """Passes every attribute of another object through, and is an instance of its class to who asks."""

    _own = frozenset({"_inner", "_advisor", "_chunks"})

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # noqa: D105
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name in self._own:  # asked for by what copies an object before it has any
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return type(found)(self) if name in _RAW else found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._inner, name, value)


class _Entered(_Passing):
    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        return self._inner.__exit__(*raised)


class _AsyncEntered(_Passing):
    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._inner.__aexit__(*raised)


class _Advised(_Passing):
    """A client, or a part of one, that knows its advisor."""

    def __init__(self, inner: Any, advisor: Advisor) -> None:
        super().__init__(inner)
        self._advisor = advisor

    def _failed(self, error: BaseException) -> None:
        self._advisor.failures += 1
        log.warning("no notes for this request: %s: %s", type(error).__name__, error)


class WrappedClient(_Advised, _Entered, _AsyncEntered):
    """The client that ``wrap`` returns."""

    @property
    def chat(self) -> Any:
        """Return the client's chat, whose completions get notes."""
        return _Chat(self._inner.chat, self._advisor)

    @property
    def beta(self) -> Any:
        """Return the client's beta, whose chat is this one."""
        return _Beta(self._inner.beta, self._advisor)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in _UNADVISED:
            _tell_unadvised(name)
        if name not in _COPIES:
            return found

        def copied(*args: Any, **kwargs: Any) -> WrappedClient:
            return WrappedClient(found(*args, **kwargs), self._advisor)

        return copied


@cache
def _tell_unadvised(part: str) -> None:
    """Log, once in a process, that requests of a part of a client get no notes."""
    log.warning("client.%s: its requests get no notes; ask by client.chat.completions for them", part)


class _Beta(_Advised):
    @property
    def chat(self) -> Any:
        return _Chat(self._inner.chat, self._advisor)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in _UNADVISED:
            _tell_unadvised(f"beta.{name}")
        return found


class _Chat(_Advised):
    @property
    def completions(self) -> Any:
        kind = _AsyncCompletions if _is_async(self._inner) else _Completions
        return kind(self._inner.completions, self._advisor)


class _Streaming(_Advised):
    def _noted(self, kwargs: dict[str, Any], advice: Advice, opened: bool) -> _Noted:
        if not advice.text:
            return kwargs, None
        if advice.opening and not opened:
            self._advisor.take_back(advice)
            return kwargs, None
        noted = {**kwargs, "messages": advice.messages()}
        if advice.extra_body:
            noted["extra_body"] = {**advice.extra_body, **(kwargs.get("extra_body") or {})}
        return noted, advice

    def _is_paused(self, kwargs: dict[str, Any]) -> bool:
        """Return whether such a request gets no notes for now; it then counts as one without notes."""
        paused = self._advisor.refusals.paused(*self._asker(kwargs))
        self._advisor.failures += paused
        return paused

    def _taken(self, kwargs: dict[str, Any], advice: Advice | None) -> str:
        """Note that the endpoint took a request; return the opening that the reply may repeat."""
        if advice is None:
            return ""
        self._advisor.refusals.taken(*self._asker(kwargs))
        return advice.opening

    def _refused(self, kwargs: dict[str, Any], error: Exception) -> None:
        """Note that the endpoint took a request only without its notes."""
        self._failed(error)
        if whose := self._advisor.refusals.refused(*self._asker(kwargs)):
            told = "no notes for %s %.80r for %d s: its endpoint refuses requests with them"
            log.warning(told, whose, kwargs.get("model"), PAUSE_SECONDS)

    def _asker(self, kwargs: dict[str, Any]) -> tuple[str, str]:
        """Return the model, with its endpoint, and the conversation of a request."""
        model = f"{getattr(getattr(self._inner, '_client', None), 'base_url', '')} {kwargs.get('model')}"
        return model, conversation_opening(kwargs["messages"])

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return the manager of a streamed reply, which asks by this object's ``create``."""
        return type(self._inner).stream(self, *args, **kwargs)


class _Completions(_Streaming):
    def create(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint, with notes placed where the advisor has some."""
        reply, opening = self._asked(self._inner.create, args, kwargs, opened=not _is_raw(kwargs))
        if not opening:
            return reply
        return _Stream(reply, opening) if kwargs.get("stream") is True else _own_words(reply, opening)

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint for a reply of a type."""
        reply, _ = self._asked(self._inner.parse, args, kwargs, opened=False)
        return reply

    def _asked(self, ask: Any, args: Any, kwargs: dict[str, Any], opened: bool) -> tuple[Any, str]:
        """Return the reply and the opening that it may repeat; a request that is refused with notes goes without."""
        kwargs, given = _kept(kwargs)
        noted, advice = self._advised(kwargs, given, opened)
        try:
            return ask(*args, **noted), self._taken(kwargs, advice)
        except Exception as error:
            if advice is None or not _is_refusal(error):
                raise
            refusal = error
        self._advisor.take_back(advice)
        reply = ask(*args, **kwargs)
        self._refused(kwargs, refusal)
        return reply, ""

    def _advised(self, kwargs: dict[str, Any], given: dict[str, Any], opened: bool) -> _Noted:
        try:
            if not given or self._is_paused(kwargs):
                return kwargs, None
            return self._noted(kwargs, self._advisor.advise(**given), opened)
        except Exception as error:  # noqa: BLE001 - never fail the caller's own request
            self._failed(error)
            return kwargs, None


class _AsyncCompletions(_Streaming):
    async def create(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint, with notes placed where the advisor has some."""
        reply, opening = await self._asked(self._inner.create, args, kwargs, opened=not _is_raw(kwargs))
        if not opening:
            return reply
        return _AsyncStream(reply, opening) if kwargs.get("stream") is True else _own_words(reply, opening)

    async def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint for a reply of a type."""
        reply, _ = await self._asked(self._inner.parse, args, kwargs, opened=False)
        return reply

    async def _asked(self, ask: Any, args: Any, kwargs: dict[str, Any], opened: bool) -> tuple[Any, str]:
        kwargs, given = _kept(kwargs)
        noted, advice = await self._advised(kwargs, given, opened)
        try:
            return await ask(*args, **noted), self._taken(kwargs, advice)
        except Exception as error:
            if advice is None or not _is_refusal(error):
                raise
            refusal = error
        self._advisor.take_back(advice)
        reply = await ask(*args, **kwargs)
        self._refused(kwargs, refusal)
        return reply, ""

    async def _advised(self, kwargs: dict[str, Any], given: dict[str, Any], opened: bool) -> _Noted:
        try:
            if not given or self._is_paused(kwargs):
                return kwargs, None
            return self._noted(kwargs, await self._advisor.advise_async(**given), opened)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - never fail the caller's own request
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            self._failed(error)
            return kwargs, None


def _is_raw(kwargs: dict[str, Any]) -> bool:
    return any(str(name).lower() == _RAW_HEADER for name in kwargs.get("extra_headers") or ())


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "status_code", None) in REFUSALS


def _is_async(chat: Any) -> bool:
    return any(kind.__name__.startswith("Async") for kind in type(chat).__mro__)


def _kept(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the request with its messages and tools as lists, so that both may read them; and what is advised on."""
    kwargs = dict(kwargs)
    for name in ("messages", "tools", "functions"):
        value = kwargs.get(name)
        if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
            kwargs[name] = list(value)  # type: ignore[arg-type]
    given = {"messages": kwargs.get("messages"), "tools": tools_in(kwargs)}
    listed = {name: value for name, value in given.items() if isinstance(value, list)}
    return kwargs, listed if "messages" in listed else {}


def _own_words(reply: Any, opening: str) -> Any:
    for choice in getattr(reply, "choices", None) or ():
        message = getattr(choice, "message", None)
        if message is not None and getattr(message, "content", None):
            message.content = own_content(message.content, opening)
    return reply


class _Pieces:
    """Takes the opening off the chunks of a streamed reply, each choice for itself."""

    def __init__(self, opening: str) -> None:
        self._opening = opening
        self._choices: dict[int, StreamedReply] = {}
        self._latest: dict[int, Any] = {}

    def passed(self, chunk: Any) -> Any:
        """Return the chunk, its words without the opening."""
        for choice in getattr(chunk, "choices", None) or ():
            delta: Any = getattr(choice, "delta", None)
            if not hasattr(delta, "content"):
                continue  # the SDK passes on what it cannot read
            index = _index_of(choice)
            words = self._choices.setdefault(index, StreamedReply(self._opening))
            self._latest[index] = chunk
            said = delta.content
            passed = words.add(said) if isinstance(said, str) else ""
            if ends_words(choice.finish_reason, delta.tool_calls):
                passed += words.end()
            if isinstance(said, str) or passed:
                delta.content = passed
        return chunk

    def rest(self) -> Iterator[Any]:
        """Yield what is still held back of a stream that stopped without saying so, in copies of its last chunks."""
        for index, words in self._choices.items():
            held = words.end()
            if held:
                chunk = self._latest[index].model_copy(deep=True)
                chunk.choices = [choice for choice in chunk.choices if _index_of(choice) == index]
                chunk.choices[0].delta = type(chunk.choices[0].delta)(content=held)
                yield chunk


def _index_of(choice: Any) -> int:
    """Return the index of a choice; servers of one choice may leave it out."""
    return choice.index if isinstance(choice.index, int) else 0


class _Stream(_Entered):
    def __init__(self, inner: Any, opening: str) -> None:
        super().__init__(inner)
        self._chunks = self._read(_Pieces(opening))

    def _read(self, pieces: _Pieces) -> Iterator[Any]:
        for chunk in self._inner:
            yield pieces.passed(chunk)
        yield from pieces.rest()

    def __iter__(self) -> Iterator[Any]:
        return self._chunks

    def __next__(self) -> Any:
        return next(self._chunks)


class _AsyncStream(_AsyncEntered):
    def __init__(self, inner: Any, opening: str) -> None:
        super().__init__(inner)
        self._chunks = self._read(_Pieces(opening))

    async def _read(self, pieces: _Pieces) -> AsyncIterator[Any]:
        async for chunk in self._inner:
            yield pieces.passed(chunk)
        for chunk in pieces.rest():
            yield chunk

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    async def __anext__(self) -> Any:
        return await anext(self._chunks)
