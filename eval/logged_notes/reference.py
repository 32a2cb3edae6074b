"""The reference at a decision: its actions not done yet, and the agent's own call of the next one."""

from dataclasses import dataclass
from typing import Any

from fama.diagnosis.detectors.compare import Reference, differences, references
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves, normal_token
from fama.dialogue.roles import Roles
from fama.dialogue.values import is_id


@dataclass(frozen=True)
class Standing:
    """Reference actions still to be done before a decision, in their order.

    ``own`` is the agent's first call of the next action's tool from this decision on, None without one. ``seen`` holds
    the ids, in normal form, of the last answered call before the decision.
    """

    left: tuple[Reference, ...]
    own: Call | None
    seen: frozenset[str]
    roles: Roles

    @property
    def next(self) -> Reference | None:
        """Return the first action still to be done; None where nothing is left."""
        return self.left[0] if self.left else None

    @property
    def changes(self) -> tuple[Reference, ...]:
        """Return the actions left that change data."""
        return tuple(action for action in self.left if self.roles.writes(action.name))

    def lacking(self) -> tuple[Any, ...]:
        """Return the next action's argument values that the agent's own call has otherwise or not at all.

        All of them where it never makes the call; none where nothing is left, the action hands the case over (its only
        argument is words), or the own call has them all.
        """
        if self.next is None or self.roles.closes(self.next.name):
            return ()
        if self.own is None:
            return tuple(leaf.value for leaf in leaves(self.next.arguments) if leaf.value is not None)
        differing = differences(self.next.arguments, self.own.arguments)
        return tuple(one.gold for one in differing if one.gold is not None)


def standing(trace: Trace, step: int) -> Standing:
    """Return where the reference stands before the decision at message ``step``.

    An action is done by an earlier call of its tool that no error answered, with the same values for all arguments that
    the reference has, of which a null may be left out; ending the case is done by the tool alone. Every call does at
    most one action.
    """
    made = [call for call in trace.calls if call.step < step and not call.failed]
    answered = [call for call in trace.calls if call.result_step is not None and call.result_step < step]
    left: list[Reference] = []
    for action in references(trace.episode.gold_actions or ()):
        done = next((call for call in made if _does(call, action, trace.roles)), None)
        if done is None:
            left.append(action)
        else:
            made.remove(done)
    own = next((call for call in trace.calls if left and call.step >= step and call.name == left[0].name), None)
    ids = leaves(answered[-1].arguments) if answered else ()
    seen = frozenset(normal_token(str(value)) for _, key, value in ids if is_id(key))
    return Standing(tuple(left), own, seen, trace.roles)


def _does(call: Call, action: Reference, roles: Roles) -> bool:
    if call.name != action.name:
        return False
    differing = (one for one in differences(action.arguments, call.arguments) if (one.gold, one.actual) != (None, None))
    return roles.closes(action.name) or not any(differing)
