"""What has happened so far: calls with their results, user turns, retries, confirmations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fama.dialogue.facts import data_of, leaves_of
from fama.dialogue.memo import by_identity
from fama.episodes.records import Message
from fama.episodes.state import VisibleState

_BUSY = re.compile(
    r"\b(?:busy|try(?:ing)? again|retry|temporar\w*|time[d]?[ -]?out|overload\w*|too many requests"
    r"|unavailable right now)\b",
    re.IGNORECASE,
)
_ERROR = re.compile(r"^\W*(?:error|failed|failure|invalid|unknown|not found|no such|exception)\b", re.IGNORECASE)
_YES = re.compile(
    r"\b(?:yes|yep|yeah|yup|sure|correct|right|confirm(?:ed)?|go ahead|please do|do it|proceed|sounds good"
    r"|that'?s (?:it|right|fine)|ok(?:ay)?|absolutely|exactly|perfect)\b",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\b(?:no|nope|not|don'?t|wait|actually|instead|stop|hold on|rather|changed my mind|never mind)\b", re.IGNORECASE
)
_TAKES = re.compile(
    r"\b(?:ok(?:ay)?|fine|alright|thanks?|i see|i get it|underst(?:and|ood)|got it|pity|shame|too bad|leave it"
    r"|never mind|live with)\b",
    re.IGNORECASE,
)
_INSISTS = re.compile(r"\b(?:please|insist|really|can'?t be right|don'?t (?:agree|accept)|still (?:want|need))\b", re.I)
_CORRECTION = re.compile(
    r"\b(?:actually|wait|instead(?! of)|correction|i meant|hold on|changed my mind|on second thought|my mistake"
    r"|scratch that|make that"
    r"|(?:got|said) (?:that|it) wrong|mixed (?:that|it|this|them) up|confused two|noticed I said"
    r"|sorry[,.]? (?:it|that|the|not|make|i mean)|no[,.] (?:it|the|not|make))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Call:
    """A past tool call with its result. ``index`` is the message index of the call."""

    name: str
    arguments: dict[str, Any]
    result: str | None
    index: int

    @property
    def busy(self) -> bool:
        """Whether the tool asked to be called again."""
        return self.result is not None and len(self.result) < 400 and bool(_BUSY.search(self.result))

    @property
    def failed(self) -> bool:
        """Whether the result reports an error of any kind."""
        if self.result is None:
            return True
        data = data_of(self.result)
        if isinstance(data, dict):
            return bool(data.get("error")) or data.get("ok") is False or data.get("success") is False
        return bool(_ERROR.match(self.result)) or self.busy

    @property
    def data(self) -> Any:
        """The result as data, None for plain text."""
        return data_of(self.result)

    @property
    def leaves(self) -> tuple[tuple[str, Any], ...]:
        """The (key, scalar) pairs of the result."""
        return leaves_of(self.result)


def calls(state: VisibleState) -> tuple[Call, ...]:
    """Past calls in order, each with its result (by id, else the next tool message)."""
    return _calls(state.messages)


@by_identity(256)
def _calls(messages: tuple[Message, ...]) -> tuple[Call, ...]:
    results = {m.tool_call_id: m.content or "" for m in messages if m.role == "tool" and m.tool_call_id}
    found: list[Call] = []
    for index, message in enumerate(messages):
        for call in message.tool_calls or ():
            result = results.get(call.id)
            if result is None and index + 1 < len(messages) and messages[index + 1].role == "tool":
                result = messages[index + 1].content
            found.append(Call(call.function.name, call.function.parsed(), result, index))
    return tuple(found)


def user_turns(state: VisibleState) -> tuple[tuple[int, str], ...]:
    """The user's turns as (message index, text)."""
    return tuple((i, m.content or "") for i, m in enumerate(state.messages) if m.role == "user")


def user_text(state: VisibleState) -> str:
    """Everything that the user said."""
    return "\n".join(text for _, text in user_turns(state))


def user_spoke_last(state: VisibleState) -> bool:
    """Whether the last message is the user's."""
    return bool(state.messages) and state.messages[-1].role == "user"


def tool_spoke_last(state: VisibleState) -> bool:
    """Whether the last message is a tool's result."""
    return bool(state.messages) and state.messages[-1].role == "tool"


def last_words(state: VisibleState) -> str:
    """What the agent last said to the user, before the last user turn."""
    return next((m.content for m in reversed(state.messages) if m.role == "assistant" and m.content), "")


def agrees(text: str) -> bool:
    """Whether a user turn says yes and nothing against it."""
    return bool(_YES.search(text)) and not _NO.search(text)


def accepts(text: str) -> bool:
    """Whether a user turn takes what it was told, gladly or not."""
    return bool(_TAKES.search(text)) and not _INSISTS.search(text)


def corrects(text: str) -> bool:
    """Whether a user turn takes back or changes something said before."""
    return bool(_CORRECTION.search(text))


def last_correction(turns: Sequence[str]) -> int:
    """The place of the last user turn that takes something back; 0 when none does, the first never counts."""
    return max((place for place, text in enumerate(turns) if place and corrects(text)), default=0)


def given_before_user(state: VisibleState, helper: str, text: str) -> int:
    """How often a helper gave a note before the user's last turn: after it, the note may be given once more."""
    last = max((index for index, _ in user_turns(state)), default=0)
    decided = sum(message.role == "assistant" for message in state.messages[:last])
    return sum(turn < decided and note.helper == helper and note.text == text for turn, note in state.noted)


def noted_texts(state: VisibleState, helper: str) -> tuple[str, ...]:
    """Texts of the notes that a helper gave in this episode, in order."""
    return tuple(note.text for _, note in state.noted if note.helper == helper)
