"""Answers of readers, one JSON object per line, and what is wrong with them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from eval.readings.packets import dialogue_lines
from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.record_faults import fault_of
from fama.episodes.records import Blame, Episode, Record
from fama.errors import BadInput

#: Typographic signs that a reader may have typed plainly.
_PLAINER = str.maketrans("’‘“”‑–—", "''\"\"---")


class Reading(Record):
    """The answer of a reader, without words of the dialogue.

    ``step`` indexes the messages; ``category`` is None where the agent is not to blame, ``second`` is another one
    that the failure also shows.
    """

    id: str
    category: str | None
    second: str | None = None
    blame: Blame
    step: int = Field(ge=0)
    confidence: Literal["high", "medium", "low"]

    @property
    def label(self) -> str:
        """Return the category, or the party where the agent is not to blame."""
        return self.category or self.blame


class ReadingAnswer(Reading):
    """A reading as it was given: ``should`` is what ought to have been done at ``step``."""

    should: str = Field(min_length=1)
    quote: str = Field(min_length=1)


def read_answers(path: Path) -> Iterator[tuple[int, ReadingAnswer | str]]:
    """Yield each line's number with the answer in it, or with what is wrong with its form.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold other separators as they are
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); give a file of answers, a JSON object a line") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, ReadingAnswer.model_validate(json.loads(line))
        except ValidationError as error:
            yield number, f"{fault_of(error)}; see the guide for the form"
        except (ValueError, RecursionError):
            yield number, "is no JSON object; write one object per line"


def faults(path: Path, episodes: Mapping[str, Episode], taxonomy: Taxonomy) -> list[str]:
    """Return what is wrong with a file of answers, one line per fault; ``episodes`` are those to read, by id.

    Raises:
        BadInput: the file cannot be read.
    """
    found: list[str] = []
    seen: dict[str, int] = {}
    for number, answer in read_answers(path):
        if isinstance(answer, str):
            found.append(f"{path}:{number}: {answer}")
            continue
        told = list(_faults(answer, episodes.get(answer.id), taxonomy.codes))
        if answer.id in seen:
            told.append(f"id: is answered in line {seen[answer.id]}, too; delete one")
        seen.setdefault(answer.id, number)
        found += [f"{path}:{number}: {answer.id}: {fault}" for fault in told]
    return found


def _faults(answer: ReadingAnswer, episode: Episode | None, codes: Sequence[str]) -> Iterator[str]:
    known = ", ".join(codes)
    for field in ("category", "second"):
        if (code := getattr(answer, field)) is not None and code not in codes:
            yield f"{field}: {code!r} is no category; give one of {known}, or null"
    if (answer.category is None) == (answer.blame == "agent"):
        yield f"category: is {answer.category} with blame {answer.blame}; give one for the agent's fault, else null"
    if answer.second is not None and answer.second == answer.category:
        yield "second: is the first category again; give another one, or null"
    if episode is None:
        yield "id: is not in the reading set; copy it from the packet's first line"
        return
    if answer.step >= len(episode.messages):
        yield f"step: {answer.step} is past the last message, {len(episode.messages) - 1}; give an index that is shown"
    else:
        role = episode.messages[answer.step].role
        wanted = {"agent": "assistant", "user": "user"}.get(answer.blame, role)
        if role != wanted:
            yield f"step: message {answer.step} is of role {role}, the {answer.blame} is to blame; give one of its own"
    if not _occurs(answer.quote, episode):
        yield "quote: does not stand in the dialogue; copy it word for word from one message"


def _occurs(quote: str, episode: Episode) -> bool:
    """Return whether the dialogue, as it is shown but uncut, holds the quote, but for white space and typography."""
    return _plain(quote) in _plain("\n".join(dialogue_lines(episode)))


def _plain(text: str) -> str:
    return " ".join(text.translate(_PLAINER).split())
