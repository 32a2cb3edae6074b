"""Read what a failed episode shows, once, for the features of its category, its party and its step."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fama.diagnosis.detectors.action_differences import (
    Difference,
    Matching,
    Reference,
    argument_differences,
    match,
    references,
)
from fama.diagnosis.detectors.base import collect_findings
from fama.diagnosis.detectors.gold import unsaid_outputs
from fama.diagnosis.first_cause import AMOUNT
from fama.diagnosis.orchestrator import Merged, by_rule, credit
from fama.diagnosis.taxonomy import Taxonomy
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves, normal_text
from fama.dialogue.language import meanings, sentences
from fama.dialogue.turns import spoken
from fama.episodes.records import Episode, Evidence

#: Words that say how to play the user, and nothing that it should tell.
_MANNER = re.compile(r"\b(you are|you're|your name is|you name is)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wrong:
    """A value of a call that a reference change has otherwise."""

    call: Call
    difference: Difference
    done: bool


class FailureEvidence:
    """Evidence of an episode: its findings, the rule's label, and where it differs from the reference actions."""

    def __init__(self, episode: Episode, taxonomy: Taxonomy) -> None:
        self.episode = episode
        self.trace = Trace.of(episode)
        self.findings: tuple[Evidence, ...] = credit(self.trace, collect_findings(self.trace, taxonomy))
        self.rule: Merged = by_rule(self.trace, self.findings, taxonomy)

    @cached_property
    def wanted(self) -> list[Reference]:
        """Return the reference actions that change data."""
        return [a for a in references(self.episode.gold_actions or ()) if self.trace.roles.writes(a.name)]

    @cached_property
    def matching(self) -> Matching:
        """Return reference changes paired with the changes that were made."""
        return match(self.wanted, self.trace.writes)

    @cached_property
    def wrong(self) -> tuple[Wrong, ...]:
        """Return the values that differ, in changes made and in the last failed try of a missing one."""
        found = [Wrong(call, d, True) for _, call, differing in self.matching.pairs for d in differing]
        for reference in self.matching.missing:
            tried = [c for c in self.trace.calls if c.name == reference.name and c.failed]
            if tried:
                found += [
                    Wrong(tried[-1], d, False) for d in argument_differences(reference.arguments, tried[-1].arguments)
                ]
        return tuple(found)

    @cached_property
    def said_by_user(self) -> str:
        """Return all that the user said, in normal form."""
        return normal_text(" \n".join(self.text(step) for step in self.trace.user_steps))

    @cached_property
    def instruction(self) -> str:
        """Return the instruction, in normal form."""
        return normal_text(self.episode.instruction or "")

    @cached_property
    def unsaid(self) -> tuple[str, ...]:
        """Return required outputs that no message of the agent has."""
        return unsaid_outputs(self.trace)

    @cached_property
    def unsupported(self) -> tuple[int, ...]:
        """Return the agent's messages that name a sum of money which no output, user or rule had before."""
        return tuple(dict.fromkeys(self._unsupported()))

    def _unsupported(self) -> Iterator[int]:
        for step in self.trace.spoken_steps:
            for found in AMOUNT.finditer(self.text(step)):
                value = float(found[1].replace(",", ""))
                number: Any = int(value) if value.is_integer() else value
                if value >= 10 and not self.trace.sources.supported(number, step):
                    yield step

    @cached_property
    def needed(self) -> tuple[tuple[Any, bool, bool, bool], ...]:
        """Return each reference change's values: the value, and if instruction, user turns and outputs have it."""
        rows = []
        end = len(self.episode.messages)
        for reference in self.wanted:
            for _, _, value in leaves(reference.arguments):
                text = normal_text(str(value))
                if len(text) < 3:
                    continue
                kinds = {seen.kind for seen in self.trace.sources.find(value, end)}
                rows.append((value, text in self.instruction, "user" in kinds, "tool" in kinds))
        return tuple(rows)

    @cached_property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Return the instruction's sentences that ask for something, with the share of words that the user said."""
        said = meanings(" ".join(self.text(step) for step in self.trace.user_steps))
        rows = []
        for sentence in sentences(self.episode.instruction or ""):
            own = meanings(sentence)
            if len(own) >= 4 and not (_MANNER.search(sentence) and len(own) < 8):
                rows.append((sentence, len(own & said) / len(own)))
        return tuple(rows)

    def text(self, step: int) -> str:
        """Return what a message says."""
        return spoken(self.episode.messages[step])

    def steps_of(self, source: str) -> list[int]:
        """Return the steps of the findings of a source."""
        return [item.step for item in self.findings if item.source == source and item.step is not None]

    def origin(self, value: Any, before: int) -> str:
        """Return who had a value before a step: ``user``, ``tool``, ``instruction``, ``agent`` or ``nowhere``."""
        if value is None or value == "":
            return "absent"
        kinds = {seen.kind for seen in self.trace.sources.find(value, before)}
        for kind in ("user", "tool"):
            if kind in kinds:
                return kind
        if normal_text(str(value)) in self.instruction:
            return "instruction"
        return "agent" if "agent" in kinds else "nowhere"

    def beside(self, wrong: Wrong) -> bool:
        """Return whether one output held both the value that was taken and the one that was right."""
        both = [
            {s.step for s in self.trace.sources.find(value, wrong.call.step) if s.kind == "tool"}
            for value in (wrong.difference.gold, wrong.difference.actual)
        ]
        return bool(both[0] & both[1])


def nature(value: Any) -> str:
    """Return what kind of value it is: ``number``, ``id``, ``date`` or ``choice``."""
    if isinstance(value, bool) or value is None:
        return "choice"
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", text):
        return "date"
    if isinstance(value, int | float) or re.fullmatch(r"[+-]?\d{1,4}(\.\d+)?", text):
        return "number"
    return "id" if re.search(r"\d", text) else "choice"


def share(values: Sequence[bool]) -> float:
    """Return the share of true values, 0 of none."""
    return sum(values) / len(values) if values else 0.0
