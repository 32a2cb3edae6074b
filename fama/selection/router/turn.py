"""The input of routers that choose before every decision: a state's features, and what was noted in it already."""

from collections.abc import Sequence
from dataclasses import replace

from fama.dialogue.calls import calls_of
from fama.dialogue.roles import ROLES, roles_of
from fama.episodes.state import VisibleState
from fama.selection.router.evidence import EVIDENCE_NAMES
from fama.selection.router.features import Features, featurise


def turn_evidence_names(pool: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of a turn, which follow ``EVIDENCE_NAMES``."""
    noted = (f"{what}:{name}" for name in pool for what in ("noted", "noted_lately"))
    return (*noted, *(f"last_call:{role}" for role in ROLES), "calls_since_user")


def evidence_names(pool: Sequence[str], turn: bool) -> tuple[str, ...]:
    """Return the names of all numeric features of a router, in the order that it reads them."""
    return (*EVIDENCE_NAMES, *turn_evidence_names(pool)) if turn else EVIDENCE_NAMES


def featurise_turn(state: VisibleState, pool: Sequence[str]) -> Features:
    """Return the features of a state with those of the turn: what was noted by whom, and what was done last.

    ``noted`` is the share of earlier decisions with a note of the helper, ``noted_lately`` is 1 / (decisions since its
    last note), 0 where there is none; ``last_call`` flags the role of the last call's tool; ``calls_since_user`` is
    1 − 1 / (1 + calls since the user spoke). All are in [0, 1].
    """
    features = featurise(state)
    values: list[float] = []
    for name in pool:
        turns = [turn for turn, note in state.noted if note.helper == name]
        values += [len(set(turns)) / max(state.turn, 1), 1.0 / max(state.turn - turns[-1], 1) if turns else 0.0]
    calls = calls_of(state.messages)
    roles = roles_of(state.tools, state.benchmark, state.domain)
    last = roles.own_role(calls[-1].name) if calls else None
    values += [float(last == role) for role in ROLES]
    spoken = max((index for index, message in enumerate(state.messages) if message.role == "user"), default=-1)
    since = sum(call.step > spoken for call in calls)
    values.append(1.0 - 1.0 / (1 + since))
    return replace(features, evidence=(*features.evidence, *values))
