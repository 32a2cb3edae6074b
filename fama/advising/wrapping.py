"""A client of the openai package with notes placed before each of its chat requests."""

import asyncio
import logging
from functools import cache
from typing import Any, TypeVar, cast

from fama.advising.advice import Advice
from fama.advising.advised_replies import AdvisedStream, AsyncAdvisedStream, own_words, refusal_in
from fama.advising.advisor import Advisor
from fama.advising.conversation import tools_in, without_roles
from fama.advising.note_refusals import PAUSE_SECONDS, conversation_opening
from fama.advising.passing import AsyncEntered, Entered, Passing
from fama.errors import BadInput
from fama.execution.background import is_cancelled

log = logging.getLogger(__name__)
Client = TypeVar("Client")
#: A request, and the advice whose notes it has, if any; ``is_read`` says that a note may open the reply, which is read.
_Noted = tuple[dict[str, Any], Advice | None]
#: Parts of a client, and of its beta, that ask a model and get no notes.
_UNADVISED = frozenset({"responses", "completions", "realtime", "live", "threads", "agents"})
#: Methods of a client that return another client.
_COPIES = frozenset({"copy", "with_options"})
#: The header by which a view asks for a raw reply.
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


class _Advised(Passing):
    """A client, or a part of one, that knows its advisor."""

    def __init__(self, inner: Any, advisor: Advisor) -> None:
        super().__init__(inner)
        self._advisor = advisor

    def _failed(self, error: BaseException) -> None:
        self._advisor.failures += 1
        log.warning("no notes for this request: %s: %s", type(error).__name__, error)


class WrappedClient(_Advised, Entered, AsyncEntered):
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
    def _noted(self, kwargs: dict[str, Any], advice: Advice, is_read: bool) -> _Noted:
        if not advice.text:
            return kwargs, None
        if advice.opening and not is_read:
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

    def _taken(self, kwargs: dict[str, Any]) -> None:
        """Note that the endpoint took a request with its notes."""
        self._advisor.refusals.taken(*self._asker(kwargs))

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
        return self._asked(self._inner.create, args, kwargs, is_read=not _is_raw(kwargs))

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint for a reply of a type."""
        return self._asked(self._inner.parse, args, kwargs, is_read=False)

    def _asked(self, ask: Any, args: Any, kwargs: dict[str, Any], is_read: bool) -> Any:
        """Return the reply; a request that is refused with notes goes without."""
        kwargs, given = _kept(kwargs)
        noted, advice = self._advised(kwargs, given, is_read)
        if advice is None:
            return ask(*args, **noted)
        try:
            reply = ask(*args, **noted)
            if is_read:
                streams = kwargs.get("stream") is True
                reply = AdvisedStream(reply, advice.opening) if streams else own_words(reply, advice.opening)
        except Exception as error:
            if not refusal_in(error):
                raise
            refusal = error
        else:
            self._taken(kwargs)
            return reply
        self._advisor.take_back(advice)
        reply = ask(*args, **kwargs)
        self._refused(kwargs, refusal)
        return reply

    def _advised(self, kwargs: dict[str, Any], given: dict[str, Any], is_read: bool) -> _Noted:
        try:
            if not given or self._is_paused(kwargs):
                return kwargs, None
            return self._noted(kwargs, self._advisor.advise(**given), is_read)
        except Exception as error:  # noqa: BLE001 - never fail the caller's own request
            self._failed(error)
            return kwargs, None


class _AsyncCompletions(_Streaming):
    async def create(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint, with notes placed where the advisor has some."""
        return await self._asked(self._inner.create, args, kwargs, is_read=not _is_raw(kwargs))

    async def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the endpoint for a reply of a type."""
        return await self._asked(self._inner.parse, args, kwargs, is_read=False)

    async def _asked(self, ask: Any, args: Any, kwargs: dict[str, Any], is_read: bool) -> Any:
        kwargs, given = _kept(kwargs)
        noted, advice = await self._advised(kwargs, given, is_read)
        if advice is None:
            return await ask(*args, **noted)
        try:
            reply = await ask(*args, **noted)
            if is_read and kwargs.get("stream") is True:
                reply = await AsyncAdvisedStream.begun(reply, advice.opening)
            elif is_read:
                reply = own_words(reply, advice.opening)
        except Exception as error:
            if not refusal_in(error):
                raise
            refusal = error
        else:
            self._taken(kwargs)
            return reply
        self._advisor.take_back(advice)
        reply = await ask(*args, **kwargs)
        self._refused(kwargs, refusal)
        return reply

    async def _advised(self, kwargs: dict[str, Any], given: dict[str, Any], is_read: bool) -> _Noted:
        try:
            if not given or self._is_paused(kwargs):
                return kwargs, None
            return self._noted(kwargs, await self._advisor.advise_async(**given), is_read)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - never fail the caller's own request
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            self._failed(error)
            return kwargs, None


def _is_raw(kwargs: dict[str, Any]) -> bool:
    return any(str(name).lower() == _RAW_HEADER for name in kwargs.get("extra_headers") or ())


def _is_async(chat: Any) -> bool:
    return any(kind.__name__.startswith("Async") for kind in type(chat).__mro__)


def _kept(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the request with its messages and tools as lists, so that both may read them; and what is advised on.

    The request's tools state no roles, which are for the advice.
    """
    kwargs = dict(kwargs)
    for name in ("messages", "tools", "functions"):
        value = kwargs.get(name)
        if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
            kwargs[name] = list(value)  # type: ignore[arg-type]
    given = {"messages": kwargs.get("messages"), "tools": tools_in(kwargs)}
    for name in ("tools", "functions"):
        if isinstance(kwargs.get(name), list):
            kwargs[name] = without_roles(kwargs[name])
    listed = {name: value for name, value in given.items() if isinstance(value, list)}
    return kwargs, listed if "messages" in listed else {}
