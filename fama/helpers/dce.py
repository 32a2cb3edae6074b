"""DCE, the domain-constraints extractor: the one policy rule that bears on the change ahead."""

import re
from collections.abc import Iterator
from typing import Any

from fama.dialogue.calls import Call, calls
from fama.dialogue.identity import foreign_record
from fama.dialogue.language import meaning, words
from fama.dialogue.objects import choice_rows, is_meant, is_record, last_pointed
from fama.dialogue.pending import change_ahead, wants_of_record
from fama.dialogue.policy import Rule, about_identity, is_procedure, relevance, rule_verdict, rules
from fama.dialogue.requests import Want, needs_of, open_wants, serves_record, verb_of
from fama.dialogue.shown_records import Shown, about, known_words, wished
from fama.dialogue.tools import views
from fama.dialogue.turns import noted_texts, tool_spoke_last
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
    worded = known_words(made, state)
    scored: list[tuple[float, str]] = []
    for want in asked:
        meant = not needs_of(want) or (serves_record(shown, want) and is_meant(made[-1], want, state))
        if (chosen := last_pointed(choice_rows(want, made[-1], state), state)) is not None:
            held = Shown([chosen.fields], [])
        elif not tool_spoke_last(state):
            held, meant = _wished_now(want, made, state), True
        elif meant:
            held = about(want, made, state)
        else:
            continue
        for rule in rules(state.policy):
            score = 0.0 if is_procedure(rule) else _score(rule, want, held.under(rule), worded, state)
            if score <= (least if meant else BROKEN):
                continue
            if score >= BROKEN and want.rivals:  # which change is asked for is not sure: no reason to refuse
                continue
            note = _wording(rule, score).format(rule=rule.text)
            if note not in given and estimate_tokens(note) <= TOKEN_CAP:
                scored.append((score, note))
    if scored:
        yield Candidate(max(scored, key=lambda pair: pair[0])[1])


def _wished_now(want: Want, made: tuple[Call, ...], state: VisibleState) -> Shown:
    """Return the object's record with the numbers that the user wants, at the user's turn; nothing without any."""
    for place in range(len(made), 0, -1):
        call = made[place - 1]
        if is_record(call, want, state) and is_meant(call, want, state):
            records = about(want, made[:place], state).records if wished(want, record_of(call), state) else []
            return Shown(records[:1], [])
    return Shown([], [])


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
    found = rule_verdict(rule, records, worded)
    if found == "broken":
        return score + BROKEN
    return score if found == "open" and not rule.forbids and _guides(rule, want) else 0.0


def _guides(rule: Rule, want: Want) -> bool:
    """Return whether a rule that no field decides says what to do: it opens with the change's verb, or asks or tells.

    Who may do it, or what an object needs, is taken for a reason to refuse.
    """
    first = words(rule.text)[0]
    return first in _SPEAKS or meaning(first) == verb_of(want.tool)


def _ruled(state: VisibleState) -> dict[str, object] | None:
    """Return the changes asked for whose rules a look-up may decide, once one has shown an object."""
    made = calls(state)
    if not made or not tool_spoke_last(state) or not made[-1].succeeded or not change_ahead(state):
        return None
    shown = any(tool.name == made[-1].name for tool in views(state, "read"))
    return {"changes": [want.tool.name for want in open_wants(state)]} if shown else None


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build DCE in one of its forms; no options."""
    refuse_options("DCE", options)
    return make(
        "DCE",
        ("DCV",),
        does="points out the policy rule that applies now.",
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=2400,
        gate=lambda state: tool_spoke_last(state) or state.turn == 0,
        about=_ruled,
    )
