"""Conversations out of traced calls of a model: of each thread or trace the call whose request holds most of it.

An agent's trace is a tree. Each call of the model repeats the conversation so far in its request, so the call with the
most messages holds it, with the answer in its reply. Traces of one thread are one conversation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fama.episodes.foreign.streams import LogRecord
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.importers.openai_chat import chat_episode
from fama.episodes.records import Episode
from fama.errors import BadInput

#: What a root says of how the conversation ended; all but the error are the user's own.
TOLD = ("error", "success", "reward")


@dataclass(frozen=True)
class TracedCall:
    """One node of a trace.

    ``messages`` counts those of its request, 0 where it is no call of a model; ``started`` sorts by time. ``fields``
    returns those of a chat record. ``told`` is what a root says of ``TOLD``.
    """

    place: str
    trace: str
    messages: int
    started: str
    fields: Callable[[], dict[str, Any]]
    thread: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, str]:
        """Return what the call of a conversation is the largest in."""
        return self.messages, self.started


@dataclass
class _Trace:
    """One trace: the call that holds its conversation, None where none has messages yet."""

    place: str
    call: TracedCall | None = None
    thread: str | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, str]:
        return (-1, "") if self.call is None else self.call.size

    def take(self, call: TracedCall) -> None:
        """Keep the call if it holds more messages than the one before, or as many and was started later."""
        self.thread = self.thread or call.thread
        self.told |= call.told
        if call.messages and call.size > self.size:
            self.call = call


def traced_episodes(
    importer: str, path: Path, nodes: Iterable[LogRecord | TracedCall], lacking: str, options: dict[str, str]
) -> Iterator[Episode]:
    """Return the episodes of a log of traces; ``lacking`` says what to do where a trace has no call with messages.

    Raises:
        BadInput: the file cannot be read, or no trace has a call of a model with messages.
    """

    def build(index: int, row: dict[str, Any]) -> Episode:
        if "messages" not in row:
            raise BadInput(lacking)
        return chat_episode(importer, path, index, row, row["messages"], options)

    return read_episodes_of(importer, path, _conversations(nodes), build, options)


def _conversations(nodes: Iterable[LogRecord | TracedCall]) -> Iterator[LogRecord]:
    """Yield a record per conversation, in the order in which they begin, behind those that are no part of a trace."""
    traces: dict[str, _Trace] = {}
    for node in nodes:
        if isinstance(node, LogRecord):
            yield node
        else:
            traces.setdefault(node.trace, _Trace(node.place)).take(node)
    threads: dict[str, _Trace] = {}
    for name, trace in traces.items():
        held = threads.setdefault(trace.thread or name, trace)
        if trace.size > held.size:
            threads[trace.thread or name] = trace
    for name, trace in threads.items():
        said = {} if trace.call is None else {**trace.call.fields(), **trace.told}
        yield LogRecord(trace.place, {"task_id": name, **said})
