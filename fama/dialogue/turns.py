"""Turns of a conversation: the user's and the agent's words, yes, no and corrections, and the notes given so far."""

import re
from collections.abc import Callable

from fama.dialogue.language import sentences
from fama.episodes.records import Message, Note
from fama.episodes.state import RESPOND, SentenceReading, VisibleState
from fama.memo import by_identity
from fama.subsets import base_of

_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_YES = re.compile(
    r"\b(?:yes|yep|yeah|yup|sure|correct|right|confirm(?:ed)?|go ahead|please do|do it|proceed|sounds good"
    r"|that['’]?s (?:it|right|fine)|ok(?:ay)?|absolutely|exactly|perfect)\b",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\b(?:no|nope|not|don['’]?t|wait|actually|instead|stop|hold on|rather|changed my mind|never mind)\b", re.IGNORECASE
)
_CONSENT = re.compile(
    r"\b(yes|yeah|yep|yup|sure|ok|okay|confirm\w*|correct|right|go ahead|proceed|please do|do it|sounds good|agree\w*|"
    r"perfect|great|fine|absolutely|definitely|works for me|that works|exactly|let's|i'd like|go with|affirmative|"
    r"approved?)\b",
    re.IGNORECASE,
)
_TAKES = re.compile(
    r"\b(?:ok(?:ay)?|fine|alright|thanks?|i see|i get it|underst(?:and|ood)|got it|pity|shame|too bad|leave it"
    r"|never mind|live with)\b",
    re.IGNORECASE,
)
_INSISTS = re.compile(
    r"\b(?:please|insist|really|can['’]?t be right|don['’]?t (?:agree|accept)|still (?:want|need))\b", re.I
)
_CORRECTION = re.compile(
    r"\b(?:actually|wait|instead(?! of)|correction|i meant|hold on|changed my mind|on second thought|my mistake"
    r"|scratch that|make that"
    r"|(?:got|said) (?:that|it) wrong|mixed (?:that|it|this|them) up|confused two|noticed I said"
    r"|sorry[,.]? (?:it|that|the|not|make|i mean)|no[,.] (?:it|the|not|make))\b",
    re.IGNORECASE,
)


def spoken(message: Message) -> str:
    """Return what a message says, without a reasoning model's ``<think>`` text."""
    return _THOUGHT.sub("", message.content or "").strip()


def shorten(text: str, limit: int) -> str:
    """Return one line of at most ``limit`` characters; a cut shows as an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def user_turns(state: VisibleState) -> tuple[tuple[int, str], ...]:
    """Return the user's turns as (message index, text)."""
    return turns_of(state.messages)


@by_identity(64)
def turns_of(messages: tuple[Message, ...]) -> tuple[tuple[int, str], ...]:
    """Return the user's turns in messages as (message index, text)."""
    return tuple((i, m.content or "") for i, m in enumerate(messages) if m.role == "user")


def user_text(state: VisibleState) -> str:
    """Return everything that the user said."""
    return "\n".join(text for _, text in user_turns(state))


def user_spoke_last(state: VisibleState) -> bool:
    """Return whether the last message is the user's."""
    return bool(state.messages) and state.messages[-1].role == "user"


def tool_spoke_last(state: VisibleState) -> bool:
    """Return whether the last message is a tool's result."""
    return bool(state.messages) and state.messages[-1].role == "tool"


def last_words(state: VisibleState) -> str:
    """Return what the agent last said to the user, before the last user turn."""
    return next((m.content for m in reversed(state.messages) if m.role == "assistant" and m.content), "")


def agrees(text: str) -> bool:
    """Return whether a user turn says yes and nothing against it."""
    return bool(_YES.search(text)) and not _NO.search(text)


def consents(text: str) -> bool:
    """Return whether a user turn holds any word of consent, whatever else it says.

    Looser than ``agrees``: to blame an agent for a missing yes one must be sure that there was none, to tell it to go
    on, that there was one.
    """
    return bool(_CONSENT.search(text))


def accepts(text: str) -> bool:
    """Return whether a user turn takes what it was told, gladly or not."""
    return bool(_TAKES.search(text)) and not _INSISTS.search(text)


def corrects(text: str) -> bool:
    """Return whether a user turn takes back or changes something said before."""
    return bool(_CORRECTION.search(text))


def is_correction(text: str, read: tuple[SentenceReading, ...] | None) -> bool:
    """Return whether a user turn takes back or changes something said before, by meaning where read."""
    return corrects(text) if read is None else any(sentence.act == "correct" for sentence in read)


def reading_of(state: VisibleState, index: int) -> tuple[SentenceReading, ...] | None:
    """Return the sentences of the user turn at a message index as read by meaning; None where nobody did."""
    return next((turn.sentences for turn in state.readings if turn.index == index), None)


def turn_agrees(state: VisibleState, index: int) -> bool:
    """Return whether the user turn at a message index says yes and nothing against it."""
    return _turn_is(state, index, "agree", agrees) and not (state.readings and turn_corrects(state, index))


def turn_accepts(state: VisibleState, index: int) -> bool:
    """Return whether the user turn at a message index takes what it was told, gladly or not."""
    return _turn_is(state, index, "accept", accepts)


def turn_corrects(state: VisibleState, index: int) -> bool:
    """Return whether the user turn at a message index takes back or changes something said before."""
    return is_correction(state.messages[index].content or "", reading_of(state, index))


def _turn_is(state: VisibleState, index: int, act: str, pattern: Callable[[str], bool]) -> bool:
    read = reading_of(state, index)
    if read is None:
        return pattern(state.messages[index].content or "")
    return any(sentence.act == act for sentence in read)


def correction_at(state: VisibleState, index: int) -> str:
    """Return a user turn from the first sentence that takes something back, two sentences at most."""
    read = reading_of(state, index)
    if read is None:
        parts = sentences(state.messages[index].content or "")
        start = next((place for place, part in enumerate(parts) if corrects(part)), 0)
    else:
        parts = [sentence.text for sentence in read]
        start = next((place for place, sentence in enumerate(read) if sentence.act == "correct"), 0)
    return " ".join(parts[start : start + 2]).rstrip(".")


def last_correction(state: VisibleState) -> int:
    """Return the place of the last user turn that takes something back; 0 for none, the first never counts."""
    turns = enumerate(user_turns(state))
    return max((place for place, (index, _) in turns if place and turn_corrects(state, index)), default=0)


def given_before_user(state: VisibleState, helper: str, text: str) -> int:
    """Return how often a helper gave a note before the user's last turn: after it, it may come once more."""
    last = max((index for index, _ in user_turns(state)), default=0)
    decided = state.turn - sum(message.role == "assistant" for message in state.messages[last:])
    return sum(turn < decided and of_helper(note, helper) and note.text == text for turn, note in state.noted)


def noted_texts(state: VisibleState, helper: str) -> tuple[str, ...]:
    """Return texts of the notes that a helper gave in this episode, in any of its forms, in order."""
    return tuple(note.text for _, note in state.noted if of_helper(note, helper))


def of_helper(note: Note, helper: str) -> bool:
    """Return whether a note is a helper's, in whatever form."""
    return note.helper == helper or base_of(note.helper) == base_of(helper)


def is_led(state: VisibleState, *wordings: str) -> bool:
    """Return whether a note of this very decision names a tool already: of two, a small model follows the first.

    ``wordings`` are notes that lead without a tool, up to their first field.
    """
    leads = (*state.tool_names(), RESPOND, *(wording.split("{")[0] for wording in wordings))
    return any(turn == state.turn and any(lead in note.text for lead in leads) for turn, note in state.noted)
