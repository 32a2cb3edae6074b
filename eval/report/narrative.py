"""The comparison in words: which selector, how much better, at what cost, how sure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.compare.schema import ArmResult, Comparison
from eval.metrics.formats import DASH, count, p_statement, percent, plain_number, signed
from eval.metrics.measures import PairedDifference
from eval.metrics.ranking import rank
from eval.report.setup_cost_table import break_even
from fama.intervals import Interval
from fama.selection.base import SELECTORS
from fama.selection.traits import by_role


@dataclass(frozen=True)
class Card:
    """One answer: a question, the answer in large, and what backs it."""

    question: str
    answer: str
    detail: str


@dataclass(frozen=True)
class Answers:
    """The first screen: a sentence, four cards, and prompted against learned where both were run."""

    headline: str
    cards: tuple[Card, ...]
    duel: tuple[str, ...] = ()


def best_arm(comparison: Comparison) -> ArmResult | None:
    """Return the arm with the highest success, the cheapest among equals; None when nothing was scored.

    Success is on the tasks that all arms have a verdict on; None where there are no such tasks. Arms with a broken
    selector count only where there is no other.
    """
    return next(iter(_best_arms(comparison)), None)


def _best_arms(comparison: Comparison) -> list[ArmResult]:
    """Return the arms that solve the most, the cheapest first."""
    scored = [arm for arm in comparison.arms if arm.measures.success.value is not None]
    sound = [arm for arm in scored if not arm.broken] or scored
    if not sound or (not comparison.same_tasks and not comparison.shared_tasks):
        return []
    ranked = [(rank(_ranked_success(comparison, arm), arm.measures.tokens.value), arm) for arm in sound]
    most = min(place[0] for place, _ in ranked)
    return [arm for place, arm in sorted(ranked, key=lambda one: one[0]) if place[0] == most]


def _ranked_success(comparison: Comparison, arm: ArmResult) -> float:
    """Return the success on the tasks that all arms have a verdict on."""
    if comparison.same_tasks:
        return arm.measures.success.value or 0.0
    cells = [row.arms[arm.arm] for row in comparison.shared_tasks]
    return sum(cell.successes / cell.trials for cell in cells) / len(cells)


def headline_answers(comparison: Comparison) -> Answers:
    """Return the answers that a reader wants first; the headline names arms that solve as many, or are left out."""
    found = _answers(comparison)
    arms = _best_arms(comparison)
    best, names = arms[0] if arms else None, [arm.arm for arm in arms[1:]]
    if names and best is not None and best.measures.successes:
        found = replace(found, headline=f"{found.headline} {_listed(names)} solve{'s' * (len(names) == 1)} as many.")
    if best is not None and not comparison.same_tasks:
        ranked = (
            f"Ranked on the {len(comparison.shared_tasks)} of {comparison.tasks} tasks that all arms have a verdict on."
        )
        found = replace(found, headline=f"{found.headline} {ranked}")
    broken = [arm.arm for arm in comparison.arms if arm.broken]
    if not broken or best is None:
        return found
    if best.broken:
        more = "Its selector is broken: what was measured is what runs without a choice of it."
    else:
        more = f"Left out, since their selector is broken: {', '.join(broken)}."
    return replace(found, headline=f"{found.headline} {more}")


def _answers(comparison: Comparison) -> Answers:
    best = best_arm(comparison)
    if best is None and not comparison.same_tasks:
        return Answers("No task has a verdict of every arm, so none is ranked first; see the notes below.", ())
    if best is None:
        return Answers("No episode of any arm has a verdict; see the notes below.", ())
    if not any(arm.measures.successes for arm in comparison.arms if best.broken or not arm.broken):
        of = f" of the {_sound(comparison)} arms" if _sound(comparison) > 1 else ""
        headline = f"No episode{of} was solved: {percent(best.measures.success)} %."
        return Answers(headline, (_sure(comparison, None),), _duel(comparison))
    rate = percent_only(best.measures.success)
    versus = best.versus_none
    which = Card(
        "Which selector",
        best.arm,
        f"solves {percent(best.measures.success)} %; doing nothing scores {percent_only(comparison.do_nothing)}",
    )
    if versus is None or versus.estimate.value is None:
        reason = "has no plain agent beside it" if versus is None else f"shares no verdict with {versus.versus}"
        reason = "is the plain agent itself" if SELECTORS.traits(best.selector).plain else reason
        of = f", the most of {_sound(comparison)} arms" if _sound(comparison) > 1 else ""
        headline = f"{best.arm} solves {rate} of the episodes{of}; it {reason}."
        return Answers(headline, (which, _sure(comparison, None)), _duel(comparison))
    gain, over = versus.estimate, versus.overhead
    verdict = "a clear difference" if versus.clear else f"not a clear difference with {_tasks(versus.estimate.n or 0)}"
    headline = (
        f"{best.arm} solves {rate} of the episodes, {_than(gain, versus.versus)}, "
        f"for {_more(over, 100, 0, '%', ' tokens')}: {verdict}."
    )
    tests = sum(arm.versus_none is not None and arm.versus_none.p is not None for arm in comparison.arms)
    test = f"{p_statement(versus.p_holm)}, corrected for {tests} arm{'s' * (tests != 1)}"
    if versus.p is None:
        test = "no test with one task"
    better = Card("How much better", _points(gain), f"{percent(gain, signed=True)} over {versus.versus}; {test}")
    cost = Card(
        "At what cost",
        f"{_relative(over)} tokens",
        f"{percent(over, 0, signed=True)} % over {versus.versus}; {count(best.measures.tokens)} per episode, "
        f"{plain_number(best.measures.tokens_per_success.value)} per solved one",
    )
    return Answers(headline, (which, better, cost, _sure(comparison, versus)), _duel(comparison))


def _listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sound(comparison: Comparison) -> int:
    """Return the number of arms that the best one was taken from."""
    return sum(not arm.broken for arm in comparison.arms) or len(comparison.arms)


def percent_only(estimate: Interval) -> str:
    """Return the value in percent, without its interval."""
    return DASH if estimate.value is None else f"{estimate.value * 100:.1f} %"


def _sure(comparison: Comparison, versus: PairedDifference | None) -> Card:
    tested = None if versus is None else versus.estimate.n
    part = "" if tested in (None, comparison.tasks) else f"{tested} of "
    design = f"{part}{_tasks(comparison.tasks)} × {comparison.trials} trial{'s' * (comparison.trials != 1)}"
    if versus is None:
        return Card("How sure", "no test", design)
    power = ""
    if versus.detectable_holm is not None and versus.detectable_holm >= 1.0:
        power = "; too few tasks to find any difference 4 times in 5"
    elif versus.detectable_holm is not None:
        power = (
            f"; a true difference of {versus.detectable_holm * 100:.0f} points would be found 4 times in 5, corrected"
        )
    return Card("How sure", "clear" if versus.clear else "not clear", design + power)


def _tasks(count: int) -> str:
    return f"{count} task{'s' * (count != 1)}"


def _duel(comparison: Comparison) -> tuple[str, ...]:
    """Return the learned arm against each of its rivals, prompted selection first."""
    if comparison.learned_arm is None:
        return ()
    learned = comparison.arm(comparison.learned_arm)
    lines = []
    for arm in by_role(comparison.arms, "rival", lambda arm: SELECTORS.traits(arm.selector)):
        versus = arm.versus_learned
        if versus is None or versus.estimate.value is None:
            continue
        gain = Interval(
            -versus.estimate.value, _minus(versus.estimate.high), _minus(versus.estimate.low), versus.estimate.n
        )
        verdict = "a clear difference" if versus.clear else "no clear difference"
        test = "no test with one task" if versus.p is None else f"{p_statement(versus.p_holm)}, {verdict}"
        over = versus.overhead.value  # of the rival over the learned arm, on the same tasks and trials
        cost = "unknown tokens" if over is None or over <= -1 else f"{1 / (1 + over):.2f} times its tokens"
        lines.append(
            f"{learned.arm} against {arm.arm}: {percent(gain, signed=True)} points "
            f"({test}), at {cost}."
            + "".join(f" The selector of {one.arm} is broken." for one in (learned, arm) if one.broken)
        )
    lines += [
        f"{learned.arm} has a setup cost of {plain_number(paid.tokens)} tokens above that of {paid.versus}; break-even "
        f"after {break_even(paid)} episodes."
        for paid in learned.payback
        if learned.measures.success.value  # an arm that solves nothing pays nothing back
        and paid.tokens is not None
        and paid.tokens > 0
        and isinstance(paid.episodes, float)
    ]
    return tuple(lines)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _than(gain: Interval, other: str) -> str:
    """Return ``15.8 points more than none``, ``as many as none``."""
    if gain.value is not None and round(gain.value, 3) == 0:
        return f"as many as {other}"
    return f"{_more(gain, 100, 1, 'points')} than {other}"


def _more(estimate: Interval, factor: float, digits: int, unit: str, of: str = "") -> str:
    """Return ``15.8 points more``, ``8 % fewer tokens``."""
    if estimate.value is None:
        return f"an unknown difference in{of}"
    value = round(estimate.value * factor, digits)
    if value == 0:
        return f"no more{of}" if of else f"no {unit} more"
    word = "more" if value >= 0 else "less" if not of else "fewer"
    return f"{abs(value):.{digits}f} {unit} {word}{of}"


def _points(estimate: Interval) -> str:
    return f"{signed(estimate, 1)} points" if estimate.value is not None else DASH


def _relative(estimate: Interval) -> str:
    return f"{signed(estimate, 0)} %" if estimate.value is not None else DASH
