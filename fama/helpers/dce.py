"""DCE, the domain-constraints extractor: the one policy rule that bears on the change ahead."""

import re
from collections.abc import Iterator
from typing import Any

from fama.dialogue.calls import Call, calls
from fama.dialogue.identity import foreign_record
from fama.dialogue.language import meanings, words
from fama.dialogue.objects import choice_rows, is_meant, last_pointed, pointed_row, table
from fama.dialogue.pending import wants_of_record
from fama.dialogue.policy import Rule, about_identity, is_procedure, relevance, rules, verdict
from fama.dialogue.requests import Want, needs_of, open_wants, serves_record
from fama.dialogue.tools import views
from fama.dialogue.turns import noted_texts, tool_spoke_last, user_turns
from fama.dialogue.values import record_of
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.forms import Candidate, make, refuse_options
from fama.settings import Form
from fama.text.tokens import estimate_tokens

NOTE = "Rule: {rule}"
#: The tool first, as everywhere: a rule alone is read and then broken (docs/lab-log.md).
REFUSE = "Suggested next tool: respond, to say that it is not possible: {rule}"
SAY = "Suggested next tool: respond. {rule}"
#: The rule first and the question as it may be put: with the rule alone the model offers the change at once.
QUESTION = 'Rule: {rule} Suggested next tool: respond, to ask "What is the {detail}?".'
OF_ANOTHER = "this belongs to another {whose}."

TOKEN_CAP = 64
_ASK_FOR = re.compile(
    r"ask\b(?:\s+\w+){0,2}?\s+for\s+(?:the|an?|their)?\s*([a-z]+(?: [a-z]+)?)\s*(?:before|when|if|first|\.|,|$)", re.I
)
_COUNT = re.compile(r"(?<![\w.])(\d{1,6}(?:\.\d+)?) ([^\W\d_]+)")
_SPEAKS = frozenset({"ask", "tell", "say", "inform", "explain"})
#: Added to the relevance of a rule that the record breaks. Beyond one rule per request, only such ones are given.
BROKEN = 8.0


def write(state: VisibleState) -> Iterator[Candidate]:
    """Yield a rule that the record just shown breaks, or one that asks for something the record leaves open.

    A prohibition that nothing speaks for stays unsaid, and so does a rule about a record that the user did not
    mean: a small model takes either for a reason to refuse.
    """
    made = calls(state)
    if not made or not made[-1].succeeded:
        return
    shown = {tool.name: tool for tool in views(state, "read")}.get(made[-1].name)
    if shown is None:
        return
    if tool_spoke_last(state) and (whose := foreign_record(state, made)):
        yield Candidate(REFUSE.format(rule=about_identity(state.policy, shown) or OF_ANOTHER.format(whose=whose)))
        return
    given = noted_texts(state, "DCE")
    asked = wants_of_record(state)
    # What the user just said may point to a choice that a rule forbids; for all else the look-up is the moment.
    least = BROKEN if len(given) >= len(open_wants(state)) or not tool_spoke_last(state) else 0.0
    worded = seen_words(made)
    scored: list[tuple[float, str]] = []
    for want in asked:
        chosen = last_pointed(choice_rows(want, made[-1], state), state)
        if not tool_spoke_last(state) and chosen is None:
            continue
        meant = not needs_of(want) or (serves_record(shown, want) and is_meant(made[-1], want, state))
        if not meant and chosen is None:
            continue
        records = [chosen.fields] if chosen is not None else about(want, made, state)
        records = [{**record, **wished(want, record, state)} for record in records]
        for rule in rules(state.policy):
            score = 0.0 if is_procedure(rule) else _score(rule, want, records, worded, state)
            if score <= (least if meant else BROKEN):
                continue
            if score >= BROKEN and want.rivals:  # which change is asked for is not sure: no reason to refuse
                continue
            note = _wording(rule, score).format(rule=rule.text)
            if note not in given and estimate_tokens(note) <= TOKEN_CAP:
                scored.append((score, note))
    if scored:
        yield Candidate(max(scored, key=lambda pair: pair[0])[1])


def _wording(rule: Rule, score: float) -> str:
    if score >= BROKEN:
        return REFUSE
    if found := _ASK_FOR.match(rule.text):
        return QUESTION.replace("{detail}", found[1].lower())
    return SAY if words(rule.text)[0] in _SPEAKS else NOTE


def _score(
    rule: Rule, want: Want, records: list[dict[str, Any]], worded: dict[str, frozenset[str]], state: VisibleState
) -> float:
    score = relevance(rule, want, state)
    if not score:
        return 0.0
    found = verdict(rule, records, worded)
    if found == "broken":
        return score + BROKEN
    return score if found == "open" and not rule.forbids else 0.0


def about(want: Want, made: tuple[Call, ...], state: VisibleState) -> list[dict[str, Any]]:
    """Return what the last result says about a request's object: its fields, and those of rows that bear on it.

    That is the row the user's words point to, or, when the request is not about single rows, every row.
    """
    rows = table(made[-1].result)
    row = rows[0] if len(rows) == 1 else pointed_row(rows, state)
    if row is not None:
        return [record_of(made[-1]), row.fields]
    single = any(name in row.fields for row in rows for name in needs_of(want))
    return [record_of(made[-1]), *([] if single else [row.fields for row in rows])]


def wished(want: Want, record: dict[str, Any], state: VisibleState) -> dict[str, float]:
    """Return the numbers that the user wants fields of a record changed to: the last before a field's name."""
    found: dict[str, float] = {}
    for key, value in record.items():
        if key not in want.tool.parameters or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for _, text in user_turns(state):
            for match in _COUNT.finditer(text):
                if meanings(match[2]) & meanings(key.replace("_", " ")):
                    found[key] = float(match[1])
    return found


def seen_words(made: tuple[Call, ...]) -> dict[str, frozenset[str]]:
    """Return the text values that each key had in any tool result."""
    found: dict[str, set[str]] = {}
    for call in made:
        for _, key, value in call.leaves:
            if isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build DCE in one of its forms; no options."""
    refuse_options("DCE", options)
    return make(
        "DCE",
        ("DCV",),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=2400,
        gate=lambda state: tool_spoke_last(state) or state.turn == 0,
    )
