"""Judgement of one note against the reference: names its tool, names its value, contradicts it.

Every measure is true, false or None, "cannot be judged". Tools are compared by name, values in the normal forms of
``fama.dialogue.facts``; words of notes are never searched for tools.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from eval.logged_notes.note_statements import Stated, StatedStep
from eval.logged_notes.pending_actions import Standing
from fama.diagnosis.detectors.action_differences import Reference
from fama.dialogue.facts import leaves, normal_token
from fama.dialogue.values import is_id


@dataclass(frozen=True)
class Judgement:
    """The three measures of a note; None where one cannot be judged. ``read`` is False for an unknown form."""

    names_tool: bool | None
    names_value: bool | None
    contradicts: bool | None
    read: bool = True

    @property
    def precise(self) -> bool | None:
        """Return whether the note names the reference's tool or a value of it, and does not contradict it.

        Where no value is lacking the tool alone decides; otherwise hits would count there and misses would not.
        """
        named = self.names_tool if self.names_value is None else any_of((self.names_tool, self.names_value))
        if named is False or self.contradicts:
            return False
        return None if named is None or self.contradicts is None else True


def any_of(values: Iterable[bool | None]) -> bool | None:
    """Return true if one is, else None if one is unknown, else false."""
    known = set(values)
    return True if True in known else None if None in known else False


def judge(stated: Stated | None, at: Standing) -> Judgement:
    """Judge a note; nothing can be judged of one whose form is unknown (None)."""
    if stated is None:
        return Judgement(None, None, None, read=False)
    return Judgement(names_tool(stated, at), names_value(stated, at), contradicts(stated, at))


def names_tool(stated: Stated, at: Standing) -> bool | None:
    """Return whether a suggestion leads to the tool of the reference's next action: to call it, or to ask a yes for it.

    Where no reference action is left, a refusal does what the reference does (true), a change does not (false), and
    nothing is known of other notes: the reference has no words.
    """
    if at.next is not None:
        return any(at.next.name == one.target for one in stated.suggestions)
    if any(one.refuses for one in stated.suggestions):
        return True
    return False if any(at.roles.writes(one.target) for one in stated.suggestions) else None


def names_value(stated: Stated, at: Standing) -> bool | None:
    """Return whether the note states an argument value of the next action that the agent's own call lacks.

    Cannot be judged where no value is lacking (``Standing.lacking``).
    """
    wanted = at.lacking()
    return any(map(stated.names, wanted)) if wanted else None


def contradicts(stated: Stated, at: Standing) -> bool | None:
    """Return whether the note speaks against what the reference still does.

    True for a suggestion that leads to a change that no reference action left makes; that gives an argument of a tool
    which one of them calls a value that none of them has; that ends the case, or refuses about the object last looked
    up, while a change (of that object) is left; and for a picked row whose ids are others than those of the actions
    left. Cannot be judged: a rule in words; a refusal while only changes of other objects are left; a picked row
    without an id that an action left takes.
    """
    found = [_against(one, at) for one in stated.suggestions]
    if stated.row:
        found.append(_picks_another(stated.row, at))
    if stated.rule:
        found.append(None)
    return any_of(found)


def _against(one: StatedStep, at: Standing) -> bool | None:
    if one.refuses:
        if any(at.seen & _ids(action) for action in at.changes):
            return True
        return None if at.changes else False
    if at.roles.closes(one.tool):
        return bool(at.changes)
    same = [action for action in at.left if action.name == one.target]
    if at.roles.writes(one.target) and not same:
        return True
    for parameter, values in one.arguments:
        wanted = [_values(action, parameter) for action in same if parameter in action.arguments]
        if wanted and not any(set(map(normal_token, values)) & known for known in wanted):
            return True
    return False


def _picks_another(row: tuple[tuple[str, str], ...], at: Standing) -> bool | None:
    """Return whether a row's ids are comparable with arguments of the actions left and none is among them."""
    comparable = False
    for field, value in ((field, value) for field, value in row if is_id(field)):
        known = {
            normal_token(str(leaf))
            for action in at.left
            for _, key, leaf in leaves(action.arguments)
            if key.removeprefix("new_").removesuffix("s") == field
        }
        if normal_token(value) in known:
            return False
        comparable = comparable or bool(known)
    return True if comparable else None


def _values(action: Reference, parameter: str) -> set[str]:
    return {normal_token(str(value)) for _, _, value in leaves({parameter: action.arguments[parameter]})}


def _ids(action: Reference) -> set[str]:
    return {normal_token(str(value)) for _, key, value in leaves(action.arguments) if is_id(key)}
