"""Replies to requests with notes: none is the refusal of a note, and their words are without its opening.

Some servers refuse a request behind a status of 200: SGLang and vLLM by the first event of a stream, proxies by the
body of a whole reply.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice
from typing import Any, Self

from fama.advising.note_refusals import REFUSALS
from fama.advising.passing import AsyncEntered, Entered
from fama.advising.repeated_notes import StreamedReply, ends_words, own_content
from fama.models.server_errors import error_status, find_error


class RefusedBehind200(Exception):
    """A reply, or the first chunk of one, that is an error, and its status."""

    def __init__(self, error: Any) -> None:
        super().__init__(f"{error}")
        self.status_code = error_status(error, 200)


def refusal_in(error: Exception) -> bool:
    """Return whether an error refuses a request, maybe for its note alone: one of the SDK, or of a reply of 200."""
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    return (error_status(body, 200) if status is None and body else status) in REFUSALS


def _check_taken(reply: Any) -> None:
    """Raise RefusedBehind200 where a reply, or the first chunk of one, is an error that refuses the request."""
    extra = getattr(reply, "model_extra", None)
    error = find_error(extra and {**extra, "object": getattr(reply, "object", None)})
    if error is not None and error_status(error, 200) in REFUSALS:
        raise RefusedBehind200(error)


def own_words(reply: Any, opening: str) -> Any:
    """Return a whole reply of a request with notes, its words without the opening.

    Raises:
        RefusedBehind200: it is an error that refuses the request.
    """
    _check_taken(reply)
    if not opening:
        return reply
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
        if not self._opening:
            return chunk
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


class AdvisedStream(Entered):
    """A streamed reply to a request with notes; it is made when its first chunk has come, or raises what came."""

    def __init__(self, inner: Any, opening: str) -> None:
        super().__init__(inner)
        chunks = self._read(_Pieces(opening))
        first = [*islice(chunks, 1)]
        for chunk in first:
            _check_taken(chunk)
        self._chunks: Iterator[Any] = chain(first, chunks)

    def _read(self, pieces: _Pieces) -> Iterator[Any]:
        for chunk in self._inner:
            yield pieces.passed(chunk)
        yield from pieces.rest()

    def __iter__(self) -> Iterator[Any]:
        return self._chunks

    def __next__(self) -> Any:
        return next(self._chunks)


class AsyncAdvisedStream(AsyncEntered):
    """The same in an event loop, made by ``begun``."""

    def __init__(self, inner: Any, chunks: AsyncIterator[Any]) -> None:
        super().__init__(inner)
        self._chunks = chunks

    @classmethod
    async def begun(cls, inner: Any, opening: str) -> Self:
        """Return the stream when its first chunk has come, or raise what came."""
        chunks = _read_async(inner, _Pieces(opening))
        first = await anext(chunks, None)
        _check_taken(first)
        return cls(inner, _joined([] if first is None else [first], chunks))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    async def __anext__(self) -> Any:
        return await anext(self._chunks)


async def _read_async(inner: Any, pieces: _Pieces) -> AsyncIterator[Any]:
    async for chunk in inner:
        yield pieces.passed(chunk)
    for chunk in pieces.rest():
        yield chunk


async def _joined(first: list[Any], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for chunk in first:
        yield chunk
    async for chunk in rest:
        yield chunk
