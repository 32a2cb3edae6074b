"""The changes that the user asked for, as tools: found by word overlap with the tools' names and descriptions."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fama.dialogue.calls import Call, calls
from fama.dialogue.language import (
    clauses,
    every_verb,
    meaning,
    meanings,
    name_words,
    one_slip,
    verb_meanings,
    without_negated,
    words,
)
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import is_correction, reading_of, turns_of, user_turns
from fama.dialogue.values import is_id
from fama.episodes.records import Message
from fama.episodes.state import SentenceReading, TurnReading, VisibleState
from fama.memo import RecentCache, by_identity

#: A noun made of a verb ("a booking", "my parking"), and what the user did before ("I just renewed").
_NOUN = re.compile(r"\b(?:an?|the|my|this|that|your|our|any)\s+(?:\w+\s+)?\w+ing\b", re.IGNORECASE)
_PAST = re.compile(r"\bI(?:'ve)?\s+(?:(?:have|had|just|recently|already)\s+)*\w{3,}ed\b", re.IGNORECASE)
#: A verb that says little about what is to be done.
_WEAK = meaning("change")
#: How a request opens, and how a question for information does.
_ASKS = re.compile(
    r"\b(?:want|need|have to|like|love|wish|help|please|can you|could you|would you"
    r"|how (?:do|can|could) i|is there a way|request"
    r"|trying to|looking to|hoping to|here to|great to|(?-i:new|New(?! [A-Z]))"
    r"|different|another|other|wrong|instead|else)\b",
    re.IGNORECASE,
)
_INFORMS = re.compile(
    r"\b(?:know|find out|check|see|ask|tell|show|look up|wonder\w*"
    r"|when|where|which|what|how (?:many|much|long)|until|status|use|using|pay|paid)\b",
    re.IGNORECASE,
)
#: What is said to the agent in passing.
_COURTESY = re.compile(r"\b(?:let me know|tell me) what you need\b|\bwhat (?:else )?do you need\b", re.IGNORECASE)
#: What somebody else does or did: "than you can deliver", "it was sent".
_THEIRS = re.compile(r"\b(?:you|they|it|that) (?:can|could|will|would|did|do|have|has|had|was|were|is|are)\b", re.I)
_REFUSAL = re.compile(
    r"\b(?:cannot|can't|can ?not|could not|couldn't|unable|not able|not allowed|not possible|not eligible|won't"
    r"|unfortunately|refuse[ds]?|no exceptions?)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(cannot|can't|can not|unable to|not able to|won't|will not|not possible to)\b[^.?!]*"
    r"\b(cancel|chang|modif|return|refund|exchang|add|remov|updat|schedul|book|polic|rule|allow|permit|eligible|process)"
    r"|\bnot (allowed|permitted|eligible)\b|\bagainst (our|the) (policy|rules)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(if|once|unless|until|whether|would|could)\b|\?", re.IGNORECASE)
_CHANGE = re.compile(
    r"\b(cancel|return|refund|exchange|swap|replace|change|modify|update|upgrade|downgrade|book|add|remove|delete|reset|"
    r"move|reschedule|schedule|switch|invite|revoke|grant|correct|fix)\w*\b",
    re.IGNORECASE,
)
#: Weight of a match in the tool's name against one in its description.
_NAME_WEIGHT = 2.0
#: The lead over the second-best tool that makes a request sure.
_LEAD = 0.5


@dataclass(frozen=True)
class Want:
    """A request for a change: its tool, the user's clause, the message index of the turn it came up in.

    ``rivals`` are other tools that fit as well; a request without any is sure.
    """

    tool: ToolView
    clause: str
    index: int
    rivals: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Return all tools that may serve it."""
        return self.rivals | {self.tool.name}


@by_identity(64)
def _weights(tools: tuple[ToolView, ...]) -> dict[str, float]:
    """Return inverse document frequencies of the meanings in the names and descriptions of the tools."""
    seen: dict[str, int] = {}
    for tool in tools:
        for root in tool.stems:
            seen[root] = seen.get(root, 0) + 1
    return {root: math.log(1 + len(tools) / count) for root, count in seen.items()}


def verb_of(tool: ToolView) -> str:
    """Return the meaning of the first word of a tool's name."""
    return _verb(tool.name)


@lru_cache(maxsize=1_000)
def _verb(name: str) -> str:
    first = name_words(name)
    return meaning(first[0]) if first else ""


@by_identity(2_000)
def verbs_of(tool: ToolView, changes: tuple[ToolView, ...]) -> frozenset[str]:
    """Return the verb of a tool's name, and verbs of its purpose that no other change speaks of."""
    described = (tool.name_stems | tool.purpose) & verb_meanings()
    own = {root for root in described if sum(root in other.stems for other in changes) == 1}
    return frozenset({verb_of(tool), *own})


@by_identity(2_000)
def served_by(clause: str, tools: tuple[ToolView, ...]) -> tuple[ToolView, frozenset[str]] | None:
    """Return the change that a clause asks for, and its rivals.

    A clause asks for a change by the verb of its name. One that opens as a request also does so by a verb that only the
    change's description has or, without any change's verb, by an object, parameter or value that only one change has.
    """
    weights = _weights(tools)
    changes = _changes(tools)
    said = _add_slips(meanings(_PAST.sub(" ", _NOUN.sub(" ", without_negated(clause)))), _vocabulary(tools))
    asks = bool(_ASKS.search(clause)) and not _INFORMS.search(clause)
    by_description = asks and not _THEIRS.search(clause)
    by_object = asks and not any(verb_of(tool) in said for tool in changes)
    scored: list[tuple[float, ToolView]] = []
    for tool in changes:
        shared = said & tool.stems
        if (
            verb_of(tool) in shared
            or (by_description and shared & verbs_of(tool, changes))
            or (by_object and said & _own_names(tool, changes))
        ):
            score = sum(weights[root] * (_NAME_WEIGHT if root in tool.name_stems else 1.0) for root in shared)
            scored.append((score, tool))
    if not scored:
        return None
    scored.sort(key=lambda pair: -pair[0])
    best = scored[0][1]
    rivals = {tool.name for score, tool in scored[1:] if scored[0][0] - score < _LEAD}
    if verb_of(best) == _WEAK and said & best.name_stems == {_WEAK}:
        rivals |= {tool.name for tool in changes if tool is not best}
    return best, frozenset(rivals)


@by_identity(64)
def _changes(tools: tuple[ToolView, ...]) -> tuple[ToolView, ...]:
    return tuple(tool for tool in tools if tool.kind == "write")


@by_identity(2_000)
def _own_names(tool: ToolView, changes: tuple[ToolView, ...]) -> frozenset[str]:
    """Return the object, parameters and values that only one change has."""
    named = tool.choices | frozenset(
        meaning(word) for name in tool.parameters if not is_id(name) for word in name_words(name)
    )
    return own_objects(tool, changes) | (named - _shared(changes, tool))


@by_identity(2_000)
def own_objects(tool: ToolView, changes: tuple[ToolView, ...]) -> frozenset[str]:
    """Return words of a tool's name, beside its verb, that no other change is about."""
    return tool.name_stems - {verb_of(tool)} - _shared(changes, tool)


def _shared(changes: tuple[ToolView, ...], tool: ToolView) -> frozenset[str]:
    others = (other for other in changes if other.name != tool.name)
    return frozenset().union(*(other.stems | other.choices | meanings(" ".join(other.parameters)) for other in others))


class _Vocabulary(NamedTuple):
    """Known words, and those that begin or end with a letter."""

    known: frozenset[str]
    first: Mapping[str, frozenset[str]]
    last: Mapping[str, frozenset[str]]


@by_identity(64)
def _vocabulary(tools: tuple[ToolView, ...]) -> _Vocabulary:
    known = frozenset(_weights(tools)) | every_verb()
    first, last = (
        {sign: frozenset(word for word in known if word[place] == sign) for sign in {word[place] for word in known}}
        for place in (0, -1)
    )
    return _Vocabulary(known, first, last)


def _add_slips(said: frozenset[str], vocabulary: _Vocabulary) -> frozenset[str]:
    """Return the meanings with the known words added that one of them is a typing slip away from."""
    none: frozenset[str] = frozenset()
    near = {
        stem
        for word in said - vocabulary.known
        # One slip leaves the first or the last letter; most words differ in both.
        for stem in vocabulary.first.get(word[0], none) | vocabulary.last.get(word[-1], none)
        if abs(len(word) - len(stem)) < 2 and one_slip(word, stem)
    }
    return said | {meaning(word) for word in near} if near else said


def wants(state: VisibleState) -> tuple[Want, ...]:
    """Return the user's requests for changes in order, one per tool, under the turn that asked first.

    A turn that corrects an earlier one and asks for another change replaces the changes asked before.
    """
    return _wants(state.messages, views(state), state.readings)


@by_identity(64)
def _wants(
    messages: tuple[Message, ...], tools: tuple[ToolView, ...], readings: tuple[TurnReading, ...]
) -> tuple[Want, ...]:
    kept: list[Want] = []
    read = {turn.index: turn.sentences for turn in readings}
    for index, text in turns_of(messages):
        sentences_read = read.get(index)
        fresh = [
            Want(found[0], clause, index, found[1]) for clause, found in _asked(text, tools, sentences_read) if found
        ]
        sure = {want.tool.name for want in fresh if not want.rivals}
        if index and sure and is_correction(text, sentences_read):
            kept = [want for want in kept if want.names & sure]
        for want in fresh:
            same = [other for other in kept if other.names & want.names]
            if not same:
                kept.append(want)
            elif not want.rivals and same[0].rivals:
                kept[kept.index(same[0])] = want
    return tuple(kept)


#: The clauses of a user turn, each with the change that it asks for and its rivals.
_Asked = tuple[tuple[str, tuple[ToolView, frozenset[str]] | None], ...]


@by_identity(64)
def _known_turns(tools: tuple[ToolView, ...]) -> RecentCache[str, _Asked]:
    """Return what the turns of recent states ask for with these tools: each turn is read once, not once per state."""
    return RecentCache(2048, len, 2**20)


def _asked(text: str, tools: tuple[ToolView, ...], read: tuple[SentenceReading, ...] | None) -> _Asked:
    """Return every clause of a user turn with the change that it asks for and its rivals, by meaning where read."""
    if read is None:
        (asked,) = _known_turns(tools).get_all(
            [text], lambda unknown: [tuple((part, served_by(part, tools)) for part in clauses(one)) for one in unknown]
        )
        return asked
    views_by_name = {tool.name: tool for tool in tools}
    return tuple(
        (
            sentence.text,
            (views_by_name[sentence.tools[0]], frozenset(sentence.tools[1:]))
            if sentence.tools and sentence.tools[0] in views_by_name
            else None,
        )
        for sentence in read
    )


def asks_change(state: VisibleState) -> bool:
    """Return whether the user's last turn asks for a change."""
    turns = user_turns(state)
    if not turns:
        return False
    index, text = turns[-1]
    return any(found for _, found in _asked(text, views(state), reading_of(state, index)))


def is_done(want: Want, made: tuple[Call, ...]) -> bool:
    """Return whether a tool of the request was called without an error."""
    return any(call.name in want.names and call.succeeded for call in made)


def names_change(text: str) -> bool:
    """Return whether a text has a verb of a change, whoever is to make it: for logs whose tools are not known."""
    return bool(_CHANGE.search(text))


def turns_down(sentence: str) -> bool:
    """Return whether the agent flatly says that a change is not possible or not allowed; conditions are no refusal.

    Stricter than the words that make a request count as refused: there the agent's other words tell what it was about.
    """
    return bool(_DENIAL.search(sentence)) and not _CONDITION.search(sentence)


def is_refused(want: Want, state: VisibleState) -> bool:
    """Return whether the agent told the user, after the request, that it cannot be done."""
    return any(
        message.role == "assistant"
        and message.content is not None
        and _REFUSAL.search(message.content)
        and (verb_of(want.tool) in meanings(message.content) or len(wants(state)) == 1)
        for message in state.messages[want.index + 1 :]
    )


def open_wants(state: VisibleState) -> tuple[Want, ...]:
    """Return requests that are neither done nor refused."""
    made = calls(state)
    return tuple(want for want in wants(state) if not is_done(want, made) and not is_refused(want, state))


def informs(clause: str) -> bool:
    """Return whether a clause asks for information."""
    return bool(_INFORMS.search(clause)) and len(words(clause)) > 3 and not _COURTESY.search(clause)


def questions(state: VisibleState, index: int, text: str) -> list[str]:
    """Return the clauses of a user turn that ask for information and for no change."""
    read = reading_of(state, index)
    if read is None:
        return [part for part in clauses(text) if informs(part) and served_by(part, views(state)) is None]
    return [sentence.text for sentence in read if sentence.act == "ask_info"]


def open_question(state: VisibleState) -> str:
    """Return the clause of the first turn that asks for information beside a change, or nothing."""
    asked = wants(state)
    turns = user_turns(state)
    if not asked or not turns:
        return ""
    index, text = turns[0]
    return next(iter(questions(state, index, text)), "")


def needs_of(want: Want) -> tuple[str, ...]:
    """Return parameters that name the objects of a change."""
    return tuple(name for name in want.tool.required if name_words(name)[-1:] == ["id"])


def serves_record(tool: ToolView, want: Want) -> bool:
    """Return whether a read tool shows an object that the change is about: they share an id parameter."""
    return tool.kind == "read" and not tool.verifies and bool(set(tool.required) & set(needs_of(want)))
