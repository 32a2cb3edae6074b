"""Reading of user turns by meaning: an act for every sentence, and the changes that it asks for.

Vectors of sentences (``meaning``: of a small sentence encoder, MiniLM; ``static``: of their words) go through a linear
layer, fitted by ``training.reading`` on sets of user phrases, which gives the act. A request is matched with the tools
by their names, descriptions and parameters, so that tools of any domain can be read.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from fama.agents.reading.layer import ReadingLayer, shipped_layer
from fama.agents.reading.sentence_vectors import EncoderVectors, SentenceVectors, ToolTexts, reading_embedder
from fama.agents.reading.static_vectors import shipped_vectors
from fama.dialogue.language import clauses, name_words, sentences, words
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import user_turns
from fama.episodes.records import ToolSpec
from fama.episodes.state import SentenceReading, TurnReading, UserAct, VisibleState
from fama.memo import RecentCache, by_identity
from fama.settings import ReadingMode

_ASKS: tuple[UserAct, ...] = ("ask_change", "ask_info")
#: What only an answer does: the turn that opens a conversation does none of it.
_ANSWERS: tuple[UserAct, ...] = ("agree", "correct", "accept")
#: A clause that stands for itself beside others of its sentence: at least this probable, of at least so many words.
_SURE, _WORDS = 0.6, 2
#: Characters of a sentence that are read, where people write 200 at most: 100,000 without a stop took ten seconds.
_MOST = 4_000


def changes_of(state: VisibleState) -> tuple[ToolTexts, ...]:
    """Return the tools of a state that change something, in words."""
    return _changes(state.tools, views(state, "write"))


@by_identity(256)
def _changes(tools: tuple[ToolSpec, ...], changing: tuple[ToolView, ...]) -> tuple[ToolTexts, ...]:
    described = {tool.name: tool.description for tool in tools}
    found = []
    for tool in changing:
        short = f"{_plain(tool.name)}: {described[tool.name]}"
        parameters = ", ".join(map(_plain, tool.parameters))
        found.append(ToolTexts(tool.name, short, f"{short} {parameters} {', '.join(sorted(tool.choices))}".rstrip()))
    return tuple(found)


def _plain(name: str) -> str:
    return " ".join(name_words(name))


def _clauses(sentence: str) -> list[str]:
    """Return the clauses of a sentence that may be read for themselves."""
    return [part for part in clauses(sentence) if len(words(part)) >= _WORDS]


def _texts(sentence: str) -> list[str]:
    """Return a sentence and its clauses, to be encoded together; a single clause is seldom read for itself."""
    parts = _clauses(sentence)
    return [sentence, *parts] if len(parts) > 1 else [sentence]


#: The text of a user turn or of one sentence, the changes that it may ask for, and whether it opens the conversation.
_Key = tuple[str, tuple[ToolTexts, ...], bool]


class Reader:
    """Reads user turns by meaning; what was read stays in memory by text and tools."""

    def __init__(self, vectors: SentenceVectors, layer: ReadingLayer) -> None:
        self.vectors = vectors
        self.layer = layer
        self._turns: RecentCache[_Key, tuple[SentenceReading, ...]] = RecentCache(4096, lambda key: len(key[0]))
        self._sentences: RecentCache[_Key, list[SentenceReading]] = RecentCache(20_000, lambda key: len(key[0]))

    def read(self, state: VisibleState) -> tuple[TurnReading, ...]:
        """Return the readings of all user turns of a state."""
        keys = self._keys(state)
        found = self._turns.get_all(list(keys.values()), self._read)
        return tuple(TurnReading(index, turn) for index, turn in zip(keys, found, strict=True))

    def is_quick(self, state: VisibleState) -> bool:
        """Return whether ``read`` takes a millisecond or so: static vectors, or all user turns are in memory."""
        return self.vectors.quick or all(turn in self._turns for turn in self._keys(state).values())

    def steps(self, state: VisibleState) -> Iterator[None]:
        """Read a sentence at a time what ``read`` then finds in memory, for callers with other work in between."""
        for text, tools, opening in self._keys(state).values():
            if (text, tools, opening) not in self._turns:
                for said in sentences(text):
                    self._read_sentence(said[:_MOST], tools, opening)
                    yield

    def _keys(self, state: VisibleState) -> dict[int, _Key]:
        tools = changes_of(state)
        return {index: (text, tools, not place) for place, (index, text) in enumerate(user_turns(state))}

    def _read(self, turns: Sequence[_Key]) -> list[tuple[SentenceReading, ...]]:
        """Read turns; their sentences are encoded together, one by one takes several times as long."""
        said = {one[:_MOST] for text, _, _ in turns for one in sentences(text)}
        self.vectors.prepare([text for one in said for text in _texts(one)])
        return [self._turn(*turn) for turn in turns]

    def _turn(self, text: str, tools: tuple[ToolTexts, ...], opening: bool) -> tuple[SentenceReading, ...]:
        return tuple(part for said in sentences(text) for part in self._read_sentence(said[:_MOST], tools, opening))

    def _read_sentence(self, sentence: str, tools: tuple[ToolTexts, ...], opening: bool) -> list[SentenceReading]:
        key = (sentence, tools, opening)
        return self._sentences.get_all([key], lambda keys: [self._sentence(*one) for one in keys])[0]

    def _sentence(self, sentence: str, tools: Sequence[ToolTexts], opening: bool) -> list[SentenceReading]:
        """Return a sentence, or its clauses where several surely ask for something, or one behind a greeting."""
        self.vectors.prepare(_texts(sentence))
        parts = _clauses(sentence)
        whole = self.sentence(sentence, tools, opening=opening)
        if whole.act == "other" or (whole.act in _ASKS and len(parts) > 1):
            read = [(part, *self.act(part, opening=opening)) for part in parts]
            asking = [part for part, found, chance in read if found in _ASKS and chance >= _SURE]
            if len(asking) > 1 or (asking and whole.act == "other"):
                split = [self.sentence(part, tools, opening=opening) for part in asking]
                if whole.act == "other" or len({(part.act, part.tools[:1]) for part in split}) > 1:
                    return split
        return [whole]

    def sentence(self, text: str, tools: Sequence[ToolTexts], *, opening: bool = False) -> SentenceReading:
        """Read a sentence as one: its act, and the changes that it asks for."""
        act, _ = self.act(text, opening=opening)
        return SentenceReading(text, act, self._tools(text, act, tools))

    def act(self, text: str, *, opening: bool = False) -> tuple[UserAct, float]:
        """Return the most probable act of a sentence, and its probability.

        ``opening`` is for the turn that opens a conversation: it has nothing to agree to, take back or accept.
        """
        chances = self.layer.probabilities(self.vectors.vector(text)[None])[0]
        if opening:
            chances = np.where([act in _ANSWERS for act in self.layer.acts], 0.0, chances)
            chances /= chances.sum()
        best = int(chances.argmax())
        return self.layer.acts[best], float(chances[best])

    def _tools(self, text: str, act: UserAct, tools: Sequence[ToolTexts]) -> tuple[str, ...]:
        if act != "ask_change" or not tools:
            return ()
        fits = self.fits(text, tools)
        order = sorted(fits, key=lambda name: -fits[name])
        best = fits[order[0]]
        if best < self.layer.least:
            return ()
        return tuple(name for name in order if best - fits[name] <= self.layer.margin)

    def fits(self, text: str, tools: Sequence[ToolTexts]) -> Mapping[str, float]:
        """Return how well a request fits every tool, at most 1."""
        self.vectors.prepare([described for tool in tools for described in (tool.short, tool.long)])  # together, once
        return {tool.name: self.vectors.fit(text, tool) for tool in tools}


@cache
def _shipped(mode: ReadingMode) -> Reader:
    layer = shipped_layer(mode)
    if mode == "static":
        return Reader(shipped_vectors(layer.encoder), layer)
    return Reader(EncoderVectors(reading_embedder(layer.encoder)), layer)


def shipped_reader(mode: ReadingMode) -> Reader | None:
    """Return the reader of a mode, with the layer that ships; None for ``patterns``, which reads nothing beforehand.

    A process loads each once and keeps what it read.

    Raises:
        BadInput: the encoder is not there.
    """
    return None if mode == "patterns" else _shipped(mode)
