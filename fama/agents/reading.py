"""Reading of user turns by meaning: an act for every sentence, and the changes that it asks for.

A small sentence encoder (MiniLM) gives every sentence a vector; a linear layer over it, fitted by
``training.reading`` on sets of user phrases, gives the act. A request is matched with the tools by cosine to their
names, descriptions and parameters, so that tools of any domain can be read. ``reading.json`` holds the layer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fama.dialogue.language import clauses, name_words, sentences, words
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import user_turns
from fama.episodes.records import ToolSpec
from fama.episodes.state import SentenceReading, TurnReading, UserAct, VisibleState
from fama.errors import BadInput, optional_libraries
from fama.hashing import content_hash
from fama.memo import RecentCache, by_identity
from fama.selection.router.embedder import Embedder, Vectors

ACTS: tuple[UserAct, ...] = get_args(UserAct)
_ASKS: tuple[UserAct, ...] = ("ask_change", "ask_info")
#: What only an answer does: the turn that opens a conversation does none of it.
_ANSWERS: tuple[UserAct, ...] = ("agree", "correct", "accept")
#: A clause that stands for itself beside others of its sentence: at least this probable, of at least so many words.
_SURE, _WORDS = 0.6, 2
#: Raised when what follows from the layer's numbers changes; part of the digest that runs log.
_RULES = 2
_FILE = "reading.json"
#: Characters of a sentence that are read, where people write 200 at most: 100,000 without a stop took ten seconds.
_MOST = 4_000


@dataclass(frozen=True)
class ReadingLayer:
    """The fitted linear layer: ``weight`` (acts, size), ``bias`` (acts,), in the order of ``acts``.

    ``least`` is the smallest fit of a request to a tool, ``margin`` how far another tool may be behind the best one.
    """

    encoder: str
    acts: tuple[UserAct, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    least: float
    margin: float
    digest: str

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of every act, shape (n, acts)."""
        logits = vectors @ self.weight.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        chances: NDArray[np.float64] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return chances


def parse_layer(text: str) -> ReadingLayer:
    """Return the layer of a ``reading.json``.

    Raises:
        BadInput: it is not one.
    """
    try:
        value = json.loads(text)
        weight, bias = (np.asarray(value[name], dtype=np.float64) for name in ("weight", "bias"))
        acts = tuple(value["acts"])
        if set(acts) != set(ACTS) or weight.shape[0] != len(acts) or bias.shape != (len(acts),) or weight.ndim != 2:
            raise ValueError("acts, weight and bias do not fit")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError("a number is not finite")
        numbers = float(value["least"]), float(value["margin"])
        return ReadingLayer(str(value["encoder"]), acts, weight, bias, *numbers, content_hash([_RULES, value])[:12])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{_FILE}: {error}; make it again with: python -m training.reading") from None


@cache
def shipped_layer() -> ReadingLayer:
    """Return the layer that ships."""
    return parse_layer(resources.files("fama.agents").joinpath(_FILE).read_text(encoding="utf-8"))


def reading_embedder(encoder: str) -> Embedder:
    """Return the encoder of readings, in float32 so that every machine reads alike.

    Raises:
        BadInput: the encoder, or the libraries that run it, are not there.
    """
    with optional_libraries("helpers.reading: meaning", "set helpers.reading=patterns"):
        from fama.selection.router.encoder import SegmentEncoder

        return Embedder(SegmentEncoder(encoder, 256), entries=20_000)


class ToolTexts(NamedTuple):
    """A change in words: its name and description, and these with its parameters and their choices."""

    name: str
    short: str
    long: str


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


#: A user turn's text, the changes that it may ask for, and whether it opens the conversation.
_TurnKey = tuple[str, tuple[ToolTexts, ...], bool]


class Reader:
    """Reads user turns by meaning; what was read stays in memory by text and tools."""

    def __init__(self, embedder: Embedder, layer: ReadingLayer) -> None:
        self.embedder = embedder
        self.layer = layer
        self._turns: RecentCache[_TurnKey, tuple[SentenceReading, ...]] = RecentCache(4096, lambda key: len(key[0]))

    @classmethod
    @cache
    def shipped(cls) -> "Reader":
        """Return the reader of the layer that ships; a process loads it once and keeps what it read.

        Raises:
            BadInput: the encoder is not there.
        """
        layer = shipped_layer()
        return cls(reading_embedder(layer.encoder), layer)

    def read(self, state: VisibleState) -> tuple[TurnReading, ...]:
        """Return the readings of all user turns of a state."""
        keys = self._keys(state)
        found = self._turns.get_all(list(keys.values()), self._read)
        return tuple(TurnReading(index, turn) for index, turn in zip(keys, found, strict=True))

    def has_read(self, state: VisibleState) -> bool:
        """Return whether ``read`` finds all user turns of a state in memory."""
        return all(turn in self._turns for turn in self._keys(state).values())

    def steps(self, state: VisibleState) -> Iterator[None]:
        """Read a sentence at a time what ``read`` then finds in memory, for callers with other work in between."""
        for text, tools, opening in self._keys(state).values():
            if (text, tools, opening) not in self._turns:
                for said in sentences(text):
                    self._sentence(said[:_MOST], tools, opening)
                    yield

    def _keys(self, state: VisibleState) -> dict[int, _TurnKey]:
        tools = changes_of(state)
        return {index: (text, tools, not place) for place, (index, text) in enumerate(user_turns(state))}

    def _read(self, turns: Sequence[_TurnKey]) -> list[tuple[SentenceReading, ...]]:
        """Read turns; their sentences are encoded together, one by one takes several times as long."""
        said = {one[:_MOST] for text, _, _ in turns for one in sentences(text)}
        self.embedder.embed([text for one in said for text in _texts(one)])
        return [self._turn(*turn) for turn in turns]

    def _turn(self, text: str, tools: tuple[ToolTexts, ...], opening: bool) -> tuple[SentenceReading, ...]:
        return tuple(part for said in sentences(text) for part in self._sentence(said[:_MOST], tools, opening))

    def _sentence(self, sentence: str, tools: Sequence[ToolTexts], opening: bool) -> list[SentenceReading]:
        """Return a sentence, or its clauses where several surely ask for something, or one behind a greeting."""
        self.embedder.embed(_texts(sentence))
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
        chances = self.layer.probabilities(self.vector(text)[None])[0]
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
        """Return how well a request fits every tool: the mean cosine to its short and its long text, in [−1, 1]."""
        said = self.vector(text)
        self.embedder.embed([described for tool in tools for described in (tool.short, tool.long)])  # together, once
        return {tool.name: float(said @ (self.vector(tool.short) + self.vector(tool.long))) / 2 for tool in tools}

    def vector(self, text: str) -> Vectors:
        """Return the unit vector of a text, the mean of its chunks."""
        mean: Vectors = self.embedder.embed([text])[0].mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)
