"""What had to be told and was not: told as another number or name, denied though an output held it, or left out."""

import re
from collections.abc import Iterator
from functools import lru_cache

from fama.diagnosis.first_cause import said_first
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import data_of
from fama.dialogue.language import meaning, meanings, words
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

_TOLD = re.compile(r"output|info|told|inform|communicat", re.IGNORECASE)
LIMIT_REASONS = re.compile(r"max|limit|step|token|budget|loop|repeat|timeout|seconds|wall", re.IGNORECASE)
#: A sentence without a price or an id that says that the agent cannot tell, or that nothing tells it.
_NOT_TOLD = re.compile(
    r"^(?=[^\d]*$).*\b(not (provided|available|listed|included|specified)|(cannot|can't|unable to|not able to|don't) "
    r"(provide|access|have access|tell|give|see))\b",
    re.IGNORECASE,
)
#: A sum of money, or a number that is said to be one.
_AMOUNT = re.compile(r"(?:[$€£]\s?|\bUSD\s)(\d[\d,]*(?:\.\d+)?)")
_NUMBER = re.compile(r"(?<![\w$#.,-])(\d{1,4})(?![\w.,:-]*\d|%)")
_HOW_MANY = re.compile(r"\bhow many\b([^.?!]*)|\bnumber of\b([^.?!]*)", re.IGNORECASE)
_TELLING = 10
_LONGEST = 9
#: The limit on a sum up to which the user goes ahead.
_BUDGET = re.compile(
    r"\b(less than|more than|more expensive than|greater than|up ?to|under|below|above|over|at most|exceeds?|within|"
    r"budget of)\s+(a |the )?[$€£]\s?\d",
    re.IGNORECASE,
)


def untold(trace: Trace, clean: bool) -> Iterator[Evidence]:
    """Yield what was never told. ``clean`` says that the changes show no difference."""
    detail = trace.episode.reward_detail
    keys = [key for key, value in detail.items() if _TOLD.search(key) and value < 1.0]
    limited = bool(LIMIT_REASONS.search(trace.episode.outcome.reason))
    unsaid = _unsaid(trace)
    if not (keys or unsaid) and (not clean or detail or limited):
        return
    what = ", ".join(keys) or ("required outputs" if unsaid else "changes are right, the task still failed")
    never = f"never said {', '.join(unsaid)}"
    if unsaid:
        what = shorten(f"{what}: {never}", 240)
        if (denied := said_first(trace, _NOT_TOLD)) is not None:
            quote = shorten(f"{denied[1]} ({never})", 240)
            yield Evidence(source="gold:denied", category="IFU", step=denied[0], quote=quote)
    yield Evidence(source="gold:untold", category="IFU", step=trace.last_agent_step, quote=what)
    for text in unsaid:
        if (step := _answered_at(trace, text)) is not None:
            quote = shorten(f"{text} was asked for; the answer: {spoken(trace.episode.messages[step])}", 240)
            yield Evidence(source="gold:told_wrong", category="CM", step=step, quote=quote)
        elif text.isdigit() and int(text) < _TELLING**3:
            yield from _counted(trace, int(text))
    reckoned = any(_is_number(text) and not _stands(trace, text) for text in unsaid)
    if reckoned and (found := miscomputed(trace)) is not None:
        quote = shorten(f"{found[1]} stands in no output; {never}", 240)
        yield Evidence(source="gold:computed", category="WRCO", step=found[0], quote=quote)


def priced(trace: Trace, call: Call) -> Iterator[Evidence]:
    """Yield a wrong sum that was told before a change nobody wanted, where the user goes ahead up to a limit only."""
    if not _BUDGET.search(trace.episode.instruction or ""):
        return
    if (found := miscomputed(trace)) is not None and found[0] < call.step:
        quote = shorten(f"{found[1]} stands in no output; by it the user agreed to {call.quote(120)}", 240)
        yield Evidence(source="gold:priced", category="WRCO", step=found[0], quote=quote)


def miscomputed(trace: Trace) -> tuple[int, str] | None:
    """Return the first number that the agent told and no output, user or rule had, and where it was computed.

    A number that had to be told, or is the sum or the difference of two to the cent, was computed rightly.
    """
    right = {_plain(text) for text in trace.episode.required_outputs or ()}
    for step in trace.agent_steps:
        for match in _AMOUNT.finditer(spoken(trace.episode.messages[step])):
            number = _plain(match[1])
            value = float(number)
            if number in right or f"{value:g}" in right or value < _TELLING:
                continue
            if not trace.sources.supported(int(value) if value.is_integer() else value, step):
                if not (match[1].rstrip("0").count(".") and _reckoned(trace, value, step)):
                    return step, match[0]
            made = [c for c in trace.calls if c.step < step and not trace.roles.writes(c.name) and _gives(c, value)]
            if made and not trace.sources.find(number, made[0].step):
                return made[0].step, match[0]
    return None


def _reckoned(trace: Trace, value: float, step: int) -> bool:
    """Return whether an amount is the sum or the difference of two amounts that outputs held before."""
    known = {
        round(100 * leaf)
        for call in trace.calls
        if call.step < step
        for _, _, leaf in call.leaves
        if isinstance(leaf, int | float) and not isinstance(leaf, bool)
    }
    cents = round(100 * value)
    return any(cents - one in known or cents + one in known for one in known if one)


def _counted(trace: Trace, right: int) -> Iterator[Evidence]:
    """Yield another number than the one that was asked for, told after an output that has so many rows.

    Where no output was fetched that could be counted, the first answer to the question went on without one.
    """
    asked = next(((i, found) for i in trace.user_steps if (found := _HOW_MANY.search(_said(trace, i)))), None)
    if asked is None:
        return
    thing = meanings(asked[1][1] or asked[1][2] or "")
    seen = next((c.result_step or c.step for c in trace.calls if right in counts_of(c.result)), None)
    for step in (i for i in trace.agent_steps if i > (asked[0] if seen is None else max(seen, asked[0]))):
        text = _said(trace, step)
        if seen is None:
            if not trace.episode.messages[step].tool_calls:
                quote = shorten(f"nothing was counted: {text}", 240)
                yield Evidence(source="gold:uncounted", category="IFU", step=step, quote=quote)
                return
            continue
        for match in _NUMBER.finditer(text):
            if int(match[1]) != right and thing & meanings(" ".join(words(text[match.end() :])[:3])):
                quote = shorten(f"{match[1]} told, {right} rows in the output: {text[match.start() :]}", 240)
                yield Evidence(source="gold:miscounted", category="WRCO", step=step, quote=quote)
                return


def _said(trace: Trace, step: int) -> str:
    return spoken(trace.episode.messages[step])


@lru_cache(maxsize=256)
def counts_of(text: str | None) -> frozenset[int]:
    """Return how many rows the lists of an output have: all of them, and those with a yes in a field."""
    found: set[int] = set()
    _count(data_of(text), found, 0)
    return frozenset(found - {0, 1})


def _count(value: object, found: set[int], depth: int) -> None:
    if depth > _LONGEST:
        return
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    rows = [row for row in inner if isinstance(row, dict)]
    if rows and len(rows) == len(inner):
        found.add(len(rows))
        for field in {name for row in rows for name, flag in row.items() if isinstance(flag, bool)}:
            found.add(sum(row.get(field) is True for row in rows))
    for one in inner:
        _count(one, found, depth + 1)


def _answered_at(trace: Trace, value: str) -> int | None:
    """Return the agent's answer to the last question about a value that an output held before; None without one.

    The question shares a word with the field of the output that holds the value: "the tracking number".
    """
    for call in trace.calls:
        for path, _, leaf in call.leaves:
            if str(leaf) != value:
                continue
            field = frozenset(meaning(word) for word in words(path.split(".")[-1])) - {"id"}
            for step in range(len(trace.episode.messages) - 1, call.result_step or call.step, -1):
                if trace.episode.messages[step].role == "user" and field & meanings(_said(trace, step)):
                    return next((i for i in trace.spoken_steps if i > step), None)
    return None


def _gives(call: Call, value: float) -> bool:
    """Return whether a call did nothing but compute a number."""
    try:
        return float((call.result or "").strip()) == value
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d+)?", _plain(text))) and len(text) <= _LONGEST


def _plain(text: str) -> str:
    return text.replace(",", "").lstrip("$€£").strip()


def _stands(trace: Trace, text: str) -> bool:
    """Return whether an output holds a value as it is."""
    return any(seen.kind == "tool" for seen in trace.sources.find(_plain(text), len(trace.episode.messages)))


def _unsaid(trace: Trace) -> list[str]:
    """Return the required outputs that the agent never said, compared as τ-bench does: without case and commas."""
    said = "\n".join(spoken(m) for m in trace.episode.messages if m.role == "assistant").casefold().replace(",", "")
    return [text for text in trace.episode.required_outputs or () if text.casefold().replace(",", "") not in said]
