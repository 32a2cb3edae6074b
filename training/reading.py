"""``python -m training.reading``: fit the layers that read user turns by meaning, on sets of sentences.

A set is a phrase set of the simulated customers, sorted by what the customer does with a phrase, or a file of
``training/acts``: sentences of customers in other domains by act, written by a language model.
``--test`` measures the layers on sets that they were not fitted on: the share of sentences read right, by act, and of
requests for a change matched with their tool, each with a 95 % interval over templates.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from fama.agents.reading.layer import ACTS, ReadingLayer, parse_layer
from fama.agents.reading.reader import Reader, changes_of
from fama.agents.reading.sentence_vectors import EncoderVectors, SentenceVectors, ToolTexts, reading_embedder
from fama.agents.reading.static_vectors import FILE, static_vectors
from fama.config import read_yaml
from fama.dialogue.requests import informs, names_change, served_by
from fama.dialogue.tools import views
from fama.dialogue.turns import accepts, agrees, corrects
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.task_mix import DOMAINS
from fama.envs.helpdesk.user.phrase_sets import Phrases, load_phrase_set
from fama.episodes.state import UserAct, VisibleState
from fama.errors import BadInput
from fama.files import write_atomically
from fama.intervals import Interval, clustered_mean
from fama.randomness import generator
from fama.selection.router.encoder import DEFAULT_ENCODER

DASH = "–"
FOLDER = Path("fama/agents/reading")
ACTS_FOLDER = Path(__file__).with_name("acts")
MODES = ("meaning", "static")
#: What the shipped layers are fitted on.
SETS = ("first", "second", "general")
#: Acts by key; a prefix ends in ``_``. Other answers are fragments, whatever they hold.
_ACT_OF: Mapping[str, UserAct] = {
    "agree": "agree",
    "agree_if": "agree",
    "correct": "correct",
    "reject": "correct",
    "accept": "accept",
    "tracking_": "ask_info",
    "invoice_amount_": "ask_info",
    "invoice_due_": "ask_info",
    **dict.fromkeys(
        ("cancel_", "return_", "exchange_", "address_", "seats_", "plan_", "invoice_refund_", "role_"), "ask_change"
    ),
    **dict.fromkeys(
        (
            "greeting",
            "filler",
            "thanks",
            "that_is_all",
            "waiting",
            "no_idea",
            "hang_up",
            "push",
            "answer_",
            "unknown_",
            "reason_",
        ),
        "other",
    ),
}
#: The tool behind a key.
_TOOL_OF: Mapping[str, str] = {
    "cancel_": "cancel_order",
    "return_": "return_item",
    "exchange_": "exchange_item",
    "address_": "change_address",
    "seats_": "change_seats",
    "plan_": "change_plan",
    "invoice_refund_": "refund_invoice",
    "role_": "change_role",
}
#: What fills the slots: values of the kind, from no task.
_VALUES: Mapping[str, tuple[str, ...]] = {
    "item": ("desk lamp", "kettle", "running shoes", "rucksack", "coffee grinder", "rain jacket"),
    "variant": ("blue", "olive green", "dark red", "white"),
    "address": ("14 Mill Lane, Leeds", "3 Station Road, York", "Am Ring 7, Bonn"),
    "person": ("Anna Berg", "Tom", "Priya Shah"),
    "month": ("March", "October", "last June"),
    "role": ("viewer", "member", "admin"),
    "plan": ("Premium", "Standard", "Basic"),
    "account": ("Nordwind", "Bluebird Ltd", "Kestrel & Co"),
    "seats": ("12", "40", "7"),
    "difference": ("3", "5", "20"),
    "new": ("the blue one", "14 Mill Lane", "the kettle", "30 seats", "the invoice of May"),
    "old": ("the green one", "3 Station Road", "the lamp", "20 seats", "the one of June"),
    "value": ("the kettle", "12", "Anna Berg"),
    "email": ("a.berg@mail.com", "tom77@post.org"),
    "name": ("Anna Berg", "Tom Reed"),
    "order": ("#W1042", "W-88213"),
    "postcode": ("LS1 4AB", "53111"),
    "pin": ("4411", "9032"),
    "invoice": ("INV-203", "2024-117"),
    "user_id": ("U-17", "usr_2208"),
}
_SLOT = re.compile(r"\{(\w+)\}")
#: The weight decay of the layer: inverse strengths that are tried, each on the sets left out in turn.
_STRENGTHS = (3.0, 10.0, 30.0)
_FOLDS = 5


class Sentence(NamedTuple):
    """A sentence of a customer, what it does, and which tool it asks for; ``template`` is the one it was made from."""

    text: str
    act: UserAct
    tool: str | None
    domain: str
    template: str
    set: str


def sentences_of(name: str, seed: int = 0) -> list[Sentence]:
    """Return the sentences of a set: of a phrase set every template, wishes as they open a conversation, and bare."""
    if (path := ACTS_FOLDER / f"{name}.yaml").is_file():
        return [
            Sentence(text, act, None, domain, text, f"{name}: {domain}")
            for domain, acts in read_yaml(path, "sentences by act").items()
            for act in ACTS
            for text in acts[act]
        ]
    rng = generator(seed, "reading", name)
    found: dict[tuple[str, str], Sentence] = {}
    for domain, phrases in load_phrase_set(name).domains.items():
        for key, act, tool in _keys(phrases):
            for template in phrases[key]:
                for text in _versions(template, act, phrases, rng):
                    found.setdefault((text, act), Sentence(text, act, tool, domain, template, name))
    return list(found.values())


def _keys(phrases: Phrases) -> Iterator[tuple[str, UserAct, str | None]]:
    for key in phrases:
        prefixes = [p for p in (*_ACT_OF, *_TOOL_OF) if key == p or (p.endswith("_") and key.startswith(p))]
        if acts := [_ACT_OF[p] for p in sorted(prefixes, key=len) if p in _ACT_OF]:
            yield key, acts[-1], next((_TOOL_OF[p] for p in prefixes if p in _TOOL_OF), None)


def _versions(template: str, act: UserAct, phrases: Phrases, rng: Random) -> list[str]:
    text = _SLOT.sub(lambda slot: rng.choice(_VALUES[slot[1]]), template)
    if act not in ("ask_change", "ask_info"):
        return [text]
    return [text, *(rng.choice(phrases["lead_in"]).replace("{verb}", text) for _ in range(2))]


def fit_layer(sets: Sequence[str], vectors: SentenceVectors) -> str:
    """Fit the layer on sentences, each template weighted once; return its JSON, which ``parse_layer`` reads.

    Its strength is chosen by the mean recall of the acts when sets, and domains of a set, are left out in five
    folds; the bounds of tools are of the phrase sets.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    reader = Reader(vectors, _blank(vectors))
    data = [sentence for name in sets for sentence in sentences_of(name)]
    said = np.stack([vectors.vector(sentence.text) for sentence in data])
    acts = np.array([sentence.act for sentence in data])
    group = np.array([sentence.set for sentence in data])
    copies = Counter((sentence.set, sentence.template) for sentence in data)
    weights = np.array([1.0 / copies[sentence.set, sentence.template] for sentence in data])

    def model(strength: float, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> LogisticRegression:
        layer = LogisticRegression(C=strength, max_iter=500, class_weight="balanced")
        return layer.fit(said[rows], acts[rows], sample_weight=weights[rows])

    def right(strength: float) -> float:
        predicted = np.empty_like(acts)
        for held in fold.values():
            rows = np.isin(group, held)
            predicted[rows] = model(strength, ~rows).predict(said[rows])
        return float(np.mean([np.mean(predicted[acts == act] == act) for act in ACTS]))

    names = list(dict.fromkeys(group.tolist()))
    fold = {start: names[start::_FOLDS] for start in range(min(_FOLDS, len(names)))}
    with threadpool_limits(1):  # beside a busy model server, waiting for other threads costs more than they save
        strength = max(_STRENGTHS, key=right) if len(names) > 1 else _STRENGTHS[0]
        fitted = model(strength, np.ones(len(acts), dtype=np.bool_))
    least, margin = _bounds(reader, data)
    value = {
        "encoder": vectors.name,
        "sets": list(sets),
        "strength": strength,
        "acts": [str(act) for act in fitted.classes_],
        "weight": np.round(fitted.coef_, 4).tolist(),
        "bias": np.round(fitted.intercept_, 4).tolist(),
        "least": least,
        "margin": margin,
    }
    return json.dumps(value) + "\n"


def _bounds(reader: Reader, data: Sequence[Sentence]) -> tuple[float, float]:
    """Return the fit that 98 % of the requests reach with their tool, and the lead that 90 % of the hits have."""
    fits = [(reader.fits(s.text, _changes(s.domain)), s.tool) for s in data if s.tool is not None]
    own = [found[tool] for found, tool in fits if tool is not None]
    leads = [
        found[tool] - max(value for name, value in found.items() if name != tool)
        for found, tool in fits
        if tool is not None and found[tool] == max(found.values())
    ]
    return round(float(np.quantile(own, 0.02)), 3), round(float(np.quantile(leads, 0.1)), 3)


def _blank(vectors: SentenceVectors) -> ReadingLayer:
    return ReadingLayer("", ACTS, np.zeros((len(ACTS), vectors.size)), np.zeros(len(ACTS)), -1.0, 0.0, "")


@lru_cache(maxsize=8)
def _state(domain: str) -> VisibleState:
    helpdesk = Helpdesk()
    environment = helpdesk.environment(domain, helpdesk.task_ids(domain, "dev")[0])
    return VisibleState("", tuple(environment.tools), ())


@lru_cache(maxsize=8)
def _changes(domain: str) -> tuple[ToolTexts, ...]:
    return changes_of(_state(domain))


def by_patterns(sentence: Sentence) -> tuple[UserAct, str | None]:
    """Return what the patterns of words read in a sentence: an act, and the tool it asks for."""
    served = served_by(sentence.text, views(_state(sentence.domain))) if sentence.domain in DOMAINS else None
    if served is not None:
        return "ask_change", served[0].name
    for act, reads in (("correct", corrects), ("agree", agrees), ("accept", accepts), ("ask_info", informs)):
        if reads(sentence.text):
            return act, None  # type: ignore[return-value]
    return "ask_change" if sentence.domain not in DOMAINS and names_change(sentence.text) else "other", None


def reading_accuracy(name: str, *readers: Reader) -> list[str]:
    """Return the accuracy of patterns and of readers on one set, by act, as lines of a Markdown table."""
    data = sentences_of(name, seed=1)
    ways: list[Callable[[Sentence], tuple[UserAct, str | None]]] = [
        by_patterns,
        *(partial(_by_meaning, reader=reader) for reader in readers),
    ]
    lines = []
    for act in (*ACTS, *(["tool"] if any(s.tool for s in data) else [])):
        rows = [s for s in data if (s.tool is not None if act == "tool" else s.act == act)]
        cells = []
        for read in ways:
            found = [read(s) for s in rows]
            hits = [
                float(tool == s.tool if act == "tool" else said == s.act)
                for s, (said, tool) in zip(rows, found, strict=True)
            ]
            share = clustered_mean(np.array(hits), [s.template for s in rows], 0)
            cells.append(_percent(share))
        lines.append(f"| {name} | {act} | {len(rows)} | {' | '.join(cells)} |")
    return lines


def _percent(share: Interval) -> str:
    """Return a share and its interval in per cent; a bound that is unknown is a dash."""
    value, low, high = (
        DASH if number is None else f"{100 * number:.0f}" for number in (share.value, share.low, share.high)
    )
    return f"{value} [{low}, {high}]"


def _by_meaning(sentence: Sentence, reader: Reader) -> tuple[UserAct, str | None]:
    read = reader.sentence(sentence.text, () if sentence.tool is None else _changes(sentence.domain))
    return read.act, next(iter(read.tools), None)


def vectors_of(reading: str, table: Path = FOLDER / FILE) -> SentenceVectors:
    """Return the vectors that a mode of reading reads: of the encoder, or static ones from the file of their table.

    Raises:
        BadInput: they are not there.
    """
    if reading == "meaning":
        return EncoderVectors(reading_embedder(DEFAULT_ENCODER))
    try:
        return static_vectors(table.read_bytes())
    except OSError as error:
        raise BadInput(f"{table}: {error.strerror}; make it with: python -m training.static_table") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit on ``--sets``, and write the layers or measure them on ``--test``; return 2 for bad input, in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reading", nargs="+", default=MODES, choices=MODES, help="modes (default: %(default)s)")
    parser.add_argument("--sets", nargs="+", default=SETS, help="sets to fit on (default: %(default)s)")
    parser.add_argument("--test", nargs="+", default=[], help="sets to measure on; nothing is written then")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the layers (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        for name in (*args.sets, *args.test):
            sentences_of(name)
        vectors = {mode: vectors_of(mode) for mode in args.reading}
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    layers = {mode: fit_layer(args.sets, found) for mode, found in vectors.items()}
    if not args.test:
        for mode, layer in layers.items():
            write_atomically(args.out / f"{mode}.json", layer)
            sys.stdout.write(f"→ {args.out / f'{mode}.json'}\n")
        return 0
    readers = {mode: Reader(vectors[mode], parse_layer(layer)) for mode, layer in layers.items()}
    head = ["set", "act", "n", *(f"{mode}, % [95 %]" for mode in ("patterns", *readers))]
    table = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in args.test:
        table += reading_accuracy(name, *readers.values())
    sys.stdout.write("\n".join(table) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
