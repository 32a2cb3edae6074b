"""The reference at a decision: its actions not done yet, and the agent's own call of the next one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fama.diagnosis.detectors.action_differences import Difference, Flat, Reference, argument_differences, references
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
        differing = argument_differences(self.next.arguments, self.own.arguments)
        return tuple(one.gold for one in differing if one.gold is not None)


def standing(trace: Trace, step: int) -> Standing:
    """Return where the reference stands before the decision at message ``step``.

    An action is done by an earlier call of its tool that no error answered, with the same values for all arguments that
    the reference has, of which a null may be left out; ending the case is done by the tool alone. Every call does at
    most one action, and as many actions as can be are done: a call that one of them alone can take is left to it.
    """
    answered = [call for call in trace.calls if call.result_step is not None and call.result_step < step]
    made = [call for call in trace.calls if call.step < step and not call.failed]
    actions = references(trace.episode.gold_actions or ())
    done = _assigned(_doing(actions, made, trace.roles))
    left = [action for place, action in enumerate(actions) if place not in done]
    own = next((call for call in trace.calls if left and call.step >= step and call.name == left[0].name), None)
    ids = leaves(answered[-1].arguments) if answered else ()
    seen = frozenset(normal_token(str(value)) for _, key, value in ids if is_id(key))
    return Standing(tuple(left), own, seen, trace.roles)


def _doing(actions: Sequence[Reference], calls: Sequence[Call], roles: Roles) -> list[list[int]]:
    """Return the places of the calls that do each action, oldest first."""
    flat = [Flat(call.arguments) for call in calls]
    by_value: dict[tuple[str, str, str], list[int]] = {}
    by_name: dict[str, list[int]] = {}
    for place, call in enumerate(calls):
        by_name.setdefault(call.name, []).append(place)
        for path, norms in flat[place].norms.items():
            for norm in dict.fromkeys(norms):
                by_value.setdefault((call.name, path, norm), []).append(place)
    found = []
    for action in actions:
        gold = Flat(action.arguments)
        # only calls that have a value of the action can do it; a null may be left out
        values = (
            (p, n)
            for p, norms in gold.norms.items()
            for v, n in zip(gold.values[p], norms, strict=True)
            if v is not None
        )
        first = None if roles.closes(action.name) else next(values, None)
        places = by_name.get(action.name, []) if first is None else by_value.get((action.name, *first), [])
        found.append([p for p in places if roles.closes(action.name) or _same(gold.differences(flat[p]))])
    return found


def _same(differing: Iterable[Difference]) -> bool:
    return all((one.gold, one.actual) == (None, None) for one in differing)


def _assigned(options: Sequence[Sequence[int]]) -> dict[int, int]:
    """Return the call of each action that gets one: as many as can be, the earlier actions first.

    An action without a free call takes that of another one which can have a free one instead (Kuhn 1955). The search
    goes by breadth, since chains may be as long as an episode; calls of a search in vain stay where they are for good.
    """
    owner: dict[int, int] = {}
    settled: set[int] = set()
    for action in range(len(options)):
        came: dict[int, int] = {}
        free = _free_call(action, options, owner, settled, came)
        if free is None:
            settled |= came.keys()
            continue
        given = {owned: call for call, owned in owner.items()}
        while free is not None:
            owner[free] = came[free]
            free = given.get(came[free])
    return {action: call for call, action in owner.items()}


def _free_call(
    action: int, options: Sequence[Sequence[int]], owner: Mapping[int, int], settled: set[int], came: dict[int, int]
) -> int | None:
    """Return a call that becomes free for an action by giving others another one; ``came`` is the way to it."""
    queue = [action]
    for asking in queue:
        for call in options[asking]:
            if call not in came and call not in settled:
                came[call] = asking
                if call not in owner:
                    return call
                queue.append(owner[call])
    return None
