"""Statements of a template note: the tool that it suggests, the values for it, and what it refuses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fama.dialogue.facts import known_facts, normal_token, stated_facts
from fama.episodes.state import RESPOND
from fama.helpers import dce, forms, memory, planner, tor, tsa, verifier

#: Shortest fact, in normal form, that counts inside quoted words: a smaller number may be about anything.
_TELLING = 4
_QUOTED = re.compile(r'"([^"]*)"')
_PAIR = re.compile(r'([^",]+) "([^"]*)"')
_STEP = re.compile(r' (Suggested next tool: (?:[^"]|"[^"]*")*?\.)(?= Suggested next tool: |$)')
_GROUPS = {"tool": r"[\w.-]+", "parameter": r"[\w.-]+", "value": r'"[^"]*"', "detail": '[^"]+'}


@dataclass(frozen=True)
class StatedStep:
    """A next step: a tool to call, or ``respond``; ``change`` is the tool that the words ask a yes for.

    ``arguments`` holds (parameter, values offered for it); ``refuses`` says that the words turn the request down.
    """

    tool: str
    change: str = ""
    arguments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    refuses: bool = False

    @property
    def target(self) -> str:
        """Return the tool that the step leads to."""
        return self.change or self.tool


@dataclass(frozen=True)
class Stated:
    """The content of a note. ``row`` holds fields of a row that it picks, ``rule`` is true for a rule in words.

    ``quoted`` and ``facts`` are its quoted values and its telling facts (ids, dates, addresses), in normal form.
    """

    suggestions: tuple[StatedStep, ...] = ()
    row: tuple[tuple[str, str], ...] = ()
    rule: bool = False
    quoted: frozenset[str] = field(default=frozenset())
    facts: frozenset[str] = field(default=frozenset())

    def names(self, value: object) -> bool:
        """Return whether the note states a value: quoted by itself, or as a telling fact of one word."""
        text = str(value)
        if normal_token(text) in self.quoted:
            return True
        return " " not in text.strip() and bool(self.facts & known_facts(text))


_Groups = Mapping[str, str]
_Reading = Callable[[_Groups], Stated]


def read_note(text: str) -> Stated | None:
    """Return what a template note states; None where no template of the six helpers has its form."""
    found = _planned(text) or next((make(m.groupdict()) for form, make in _FORMS if (m := form.fullmatch(text))), None)
    if found is None:
        return None
    facts = frozenset(fact for fact in stated_facts(text) if len(fact) >= _TELLING or "@" in fact)
    return Stated(found.suggestions, found.row, found.rule, frozenset(map(normal_token, _QUOTED.findall(text))), facts)


def _planned(text: str) -> Stated | None:
    """Return the steps behind a question that the Planner reminds of; None for another note."""
    question = _ASKED.match(text)
    if question is None:
        return None
    steps = [read_note(step) for step in _STEP.findall(text[question.end() :])]
    return Stated(tuple(one for step in steps if step is not None for one in step.suggestions))


def _form(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>{_GROUPS.get(part, '.+')})" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    )


def _call(groups: _Groups) -> Stated:
    offered = groups.get("value") or groups.get("values") or ""
    pairs = [(name.strip(), (value,)) for name, value in _PAIR.findall(offered)]
    if "parameter" in groups:
        pairs = [(groups["parameter"], tuple(_QUOTED.findall(offered)))]
    return Stated((StatedStep(groups["tool"], arguments=tuple(pairs)),))


def _ask(groups: _Groups) -> Stated:
    return Stated((StatedStep(RESPOND, change=groups["tool"]),))


def _refuse(groups: _Groups) -> Stated:
    return Stated((StatedStep(RESPOND, refuses=True),))


def _say(groups: _Groups) -> Stated:
    return Stated((StatedStep(RESPOND),), rule="rule" in groups)


def _rule(groups: _Groups) -> Stated:
    return Stated(rule=True)


def _row(groups: _Groups) -> Stated:
    return Stated(row=tuple((name.strip(), value) for name, value in _PAIR.findall(groups["fields"])))


def _quote(groups: _Groups) -> Stated:
    return Stated()


_ASKED = re.compile(_form(planner.ASKED).pattern.replace("(?P<question>.+)", '"[^"]*"'))
#: Forms of the six helpers, those with more fixed words before those that would take them for a rule or a value.
_FORMS: tuple[tuple[re.Pattern[str], _Reading], ...] = tuple(
    (_form(template), make)
    for template, make in (
        (dce.QUESTION, _say),
        (dce.REFUSE, _refuse),
        (dce.NOTE, _rule),
        (verifier.ASK_AGAIN, _say),
        (memory.CORRECTED, _quote),
        (memory.SAID, _quote),
        (tor.NOTE, _row),
        (tor.TELL, _say),
        (forms.ASK_YES, _ask),
        (forms.ASK_FOR, _say),
        (forms.ANSWER, _say),
        (tsa.ASK, _say),
        (verifier.ASK_IDENTITY, _say),
        (verifier.RETRY, _call),
        (verifier.CALL_WITH, _call),
        (verifier.CALL_ONE_OF, _call),
        (verifier.IDENTITY, _call),
        (tsa.NOTE, _call),
        (tsa.NOTE_WITH_VALUE, _call),
        (tsa.NOTE_WITH_VALUES, _call),
        (dce.SAY, _say),
    )
)
