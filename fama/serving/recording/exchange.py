"""One request with its reply, as an episode holds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from fama import __version__
from fama.advising.advice import Advice
from fama.advising.conversation import tools_in
from fama.advising.request_messages import known_as
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import functions_of
from fama.episodes.importers.base import NO_OUTCOME
from fama.episodes.records import Episode, FunctionCall, LedgerRow, Message, Outcome, Source, ToolSpec
from fama.episodes.state import turn_of
from fama.episodes.store import SERVED
from fama.hashing import content_hash
from fama.models.base import ChatRequest
from fama.models.usage import believable, read_usage
from fama.serving.events import choices_of
from fama.text.clean import clean_value


@dataclass(frozen=True)
class Exchange:
    """A request's body, the upstream's reply to it and the advice in between; seconds of the upstream's part.

    ``spent`` are the calls of an advice that failed; those of one that did not are its own.
    """

    body: dict[str, Any]
    reply: dict[str, Any]
    advice: Advice | None
    started_at: float
    seconds: float
    spent: tuple[LedgerRow, ...] = ()

    @property
    def answered_at(self) -> float:
        """Return when the reply was whole."""
        return self.started_at + self.seconds

    @property
    def model(self) -> str | None:
        """Return the model that was asked; None where the request names none."""
        name = self.body.get("model")
        return name if isinstance(name, str) else None

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """Return the request's messages, without a note.

        Raises:
            BadInput: they are no chat.
        """
        return messages_of(clean_value(self.body["messages"]))

    @cached_property
    def answers(self) -> tuple[Message, ...]:
        """Return the choices of the reply, the first one first.

        Raises:
            BadInput: a choice is no message.
        """
        rows = [choice.get("message") for choice in choices_of(self.reply)]
        kept = [{**row, "role": "assistant"} for row in rows if isinstance(row, dict)]
        return tuple(message for row in kept for message in messages_of(clean_value([row])))

    @cached_property
    def prefixes(self) -> tuple[tuple[int, str], ...]:
        """Return the hashes of the messages before each assistant's message with its place, and last of all of them."""
        return tuple(self._prefixes())

    def _prefixes(self) -> Iterator[tuple[int, str]]:
        digest = sha256()
        for place, message in enumerate(self.messages):
            if message.role == "assistant":
                yield place, digest.hexdigest()
            digest.update(content_hash(comparable_text(known_as(message))).encode())
        yield len(self.messages), digest.hexdigest()

    def episode(self, id_: str, selector: str, benchmark: str, domain: str, before: Episode | None) -> Episode:
        """Return the conversation so far; ``before`` is its episode up to the request before this one.

        The outcome is unknown: an error at the harness, as of an imported log that does not say it.
        """
        answer = self.answers[0]
        turn = turn_of(self.messages)
        decisions, ledger = (before.decisions, before.ledger) if before is not None else ((), ())
        calls = self.spent if self.advice is None else self.advice.usage.ledger
        rows = tuple(row.model_copy(update={"turn": turn}) for row in calls)
        if self.advice is not None:
            place = {"turn": turn, "message_index": len(self.messages)}
            kept = tuple(decision for decision in decisions if decision.message_index < len(self.messages))
            decisions = (*kept, self.advice.decision.model_copy(update=place))
        return Episode(
            id=id_,
            benchmark=benchmark,
            domain=domain,
            task_id=id_,
            backbone=self.model,
            strategy="fc",
            selector=selector,
            messages=(*self._heard(before), answer),
            tools=self._tools(() if before is None else before.tools),
            decisions=decisions,
            ledger=(*ledger, *rows, self._row(turn, empty=not (answer.content or answer.tool_calls))),
            outcome=Outcome(status="error", boundary="harness", reason=NO_OUTCOME),
            package_version=__version__,
            source=before.source if before is not None else Source(importer=SERVED),
            started_at=before.started_at if before is not None else _time(self.started_at),
            seconds=(before.seconds or 0.0 if before is not None else 0.0) + self.seconds,
        )

    def _heard(self, before: Episode | None) -> Iterator[Message]:
        """Yield the request's messages; for one of the agent that says nothing any more, what it said."""
        earlier = () if before is None else before.messages
        for place, message in enumerate(self.messages):
            empty = message.role == "assistant" and not message.content and not message.tool_calls
            was = earlier[place] if empty and place < len(earlier) else message
            yield was if was.role == "assistant" else message

    def _tools(self, earlier: tuple[ToolSpec, ...]) -> tuple[ToolSpec, ...]:
        """Return all tools that the conversation had, each as it was offered last."""
        if self.advice is not None:
            offered = self.advice.tools
        else:
            offered = functions_of(clean_value(tools_in(self.body)))
        if not earlier or earlier == offered:
            return offered
        return tuple({tool.name: tool for tool in (*earlier, *offered)}.values())

    def _row(self, turn: int, empty: bool) -> LedgerRow:
        request = ChatRequest(role="agent", messages=())
        row = read_usage(self.reply, request, self.model or "unknown", round(self.seconds, 6), None)
        return believable(row, empty).model_copy(update={"turn": turn})


def comparable_text(message: Message) -> list[Any]:
    """Return what a message says: equal for a reply and for what a client makes of it in its history."""
    calls = [[call.function.name, _arguments(call.function)] for call in message.tool_calls or ()]
    return [message.role, (message.content or "").strip(), calls]


def _arguments(function: FunctionCall) -> Any:
    """Return the arguments of a call; clients write those of a call without any as ``{}``."""
    nothing = "".join(function.arguments.split()) in ("", "null", "{}")
    return {} if nothing else function.parsed() or function.arguments


def echoes(history: Message, answer: Message) -> bool:
    """Return whether a message of a history is a reply: same calls, same words, also where a part of them was cut.

    One that says nothing may be any: some clients keep no refusal, and of a spoken reply its id alone.
    """
    _, words, calls = comparable_text(history)
    _, own, made = comparable_text(answer)
    if calls != made:
        return False
    if not words or not own:  # some clients drop the words beside a call
        return bool(calls) or not words
    return words in own or own in words


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
