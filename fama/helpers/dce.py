"""DCE, the domain-constraints extractor: the one policy rule that bears on the change ahead."""

from collections.abc import Iterator

from fama.helpers.base import Form, Helper
from fama.helpers.forms import Candidate, make, refuse_options
from fama.helpers.history import calls, noted_texts, tool_spoke_last
from fama.helpers.rules import is_procedure, relevance, rules
from fama.helpers.values import record_of
from fama.helpers.wants import open_changes
from fama.state import VisibleState
from fama.tokens import estimate_tokens

NOTE = "Rule: {rule}"

TOKEN_CAP = 56
#: Least relevance of a rule that names no field of the record.
LEAST = 3.0


def write(state: VisibleState) -> Iterator[Candidate]:
    """A rule, at the moment when the record that it speaks of was just looked up."""
    made = calls(state)
    if not tool_spoke_last(state) or not made or not (record := record_of(made[-1])):
        return
    given = noted_texts(state, "DCE")
    scored: list[tuple[float, str]] = []
    for want in open_changes(state):
        for rule in rules(state.policy):
            note = NOTE.format(rule=rule.text)
            if is_procedure(rule) or note in given or estimate_tokens(note) > TOKEN_CAP:
                continue
            if (score := relevance(rule, want, record)) >= LEAST:
                scored.append((score, note))
    if scored:
        yield Candidate(max(scored, key=lambda pair: pair[0])[1])


def build(form: Form = "template", **options: int | str) -> Helper:
    """DCE in one of its forms; no options."""
    refuse_options("DCE", options)
    return make(
        "DCE",
        ("DCV",),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        llm_cost_cap=1800,
        gate=lambda state: tool_spoke_last(state) or state.turn == 0,
    )
