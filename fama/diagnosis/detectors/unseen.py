"""What the agent said does not exist although it had not looked: the reference needs it, and no output had it yet."""

import re
from collections.abc import Iterator
from typing import Any

from fama.diagnosis.detectors.compare import match, references
from fama.diagnosis.first_cause import is_telling, split_sentences
from fama.diagnosis.trace import Trace
from fama.dialogue.facts import leaves
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

#: A denial of something among all that there is: of the user's orders, of the stock; not of one object.
_ABSENT = re.compile(
    r"\b(I (ca(n't|nnot)|could(n't| not)|(was|am) (not able|unable) to|do(n't| not)|did(n't| not)) (find|locate|see)"
    r"|we could(n't| not) find|we do(n't| not) have|none of (them|these|those|the|your)"
    r"|no [^.?!]{0,60}\b(found|stored|listed|on file))\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?\s*$|\b(if|let me know|please)\b", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST = 40
_ID = re.compile(r"#?\b[\w-]*\d[\w-]{3,}")


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield the first denial of something that a change of the reference needs and that was never looked up before.

    A denial right after a call that failed or found nothing only says so. What an output had already shown was misread,
    not unseen, and what the agent used later it has looked up after all.
    """
    if trace.episode.gold_actions is None or not trace.has_dialogue:
        return
    changes = [action for action in references(trace.episode.gold_actions) if trace.roles.writes(action.name)]
    found = match(changes, trace.writes)
    lacking = [reference.arguments for reference in found.missing]
    lacking += [{"value": [d.gold for d in differing if d.gold is not None]} for _, _, differing in found.pairs]
    wanted = [value for arguments in lacking for _, _, value in leaves(arguments) if _is_looked_up(value)]
    for step in trace.agent_steps:
        if not (needed := _unseen(trace, wanted, step)):
            continue
        last = next((call for call in reversed(trace.calls) if call.step < step), None)
        if last is not None and (last.failed or not (last.result or "").strip("[]{} \n")):
            continue
        for sentence in split_sentences(spoken(trace.episode.messages[step])):
            if _ABSENT.search(sentence) and not _ASKS.search(sentence) and not _names_one(trace, sentence, step):
                quote = shorten(f"{sentence} (never looked up: {needed[0]})", 240)
                yield Evidence(source="gold:unseen", category="CM", step=step, quote=quote)
                return


def _is_looked_up(value: Any) -> bool:
    """Return whether a value is one that outputs hold: an id or part of an address; no date, no note."""
    return is_telling(value) and not _DATE.fullmatch(str(value)) and len(str(value)) <= _LONGEST


def _names_one(trace: Trace, sentence: str, step: int) -> bool:
    """Return whether a sentence speaks of one object that was looked up."""
    given = [call.raw for call in trace.calls if call.step <= step]
    return any(found[0].lstrip("#") in raw for found in _ID.finditer(sentence) for raw in given)


def _unseen(trace: Trace, values: list[Any], step: int) -> list[Any]:
    """Return the values that nobody had named and no output had shown before a step, and that were never used after."""
    used = [call.raw for call in trace.calls]
    return [v for v in values if not trace.sources.find(v, step) and not any(str(v) in raw for raw in used)]
