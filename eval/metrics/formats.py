"""Numbers as text in tables: percent and tokens with their intervals, a dash for what is not known."""

from fama.intervals import Interval

DASH = "–"


def percent(estimate: Interval, digits: int = 1, signed: bool = False) -> str:
    """Return ``31.2 [25.0, 38.1]`` in percent; with a sign for differences."""
    return _written(estimate, 100.0, f"{'+' if signed else ''}.{digits}f")


def signed(estimate: Interval, digits: int = 1) -> str:
    """Return the value in percent with its sign, without its interval: ``+3.1``, ``−2.0``, ``0.0``."""
    return DASH if estimate.value is None else _number(estimate.value * 100, f"+.{digits}f")


def count(estimate: Interval, digits: int = 0) -> str:
    """Return ``1,234 [1,100, 1,390]``, or ``1,234 [1,100, ∞]`` where nothing bounds it from above."""
    return _written(estimate, 1.0, f",.{digits}f")


def coefficient(estimate: Interval | None) -> str:
    """Return ``0.61 [0.48, 0.72]``: a number of its own, such as κ or F1."""
    return DASH if estimate is None else _written(estimate, 1.0, ".2f")


def p_value(p: float | None) -> str:
    """Return three digits, or ``<0.001``; ``<0.05`` where three digits would round up to a level that p is below."""
    if p is None:
        return DASH
    text = f"{p:.3f}"
    level = next((level for level in (0.001, 0.01, 0.05) if p < level <= max(float(text), 0.001)), None)
    return text if level is None else f"<{level:g}"


def p_statement(p: float | None) -> str:
    """Return ``p = 0.012``, or ``p < 0.001``: a p-value within a sentence."""
    text = p_value(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def detectable_points(effect: float | None, digits: int = 0) -> str:
    """Return a detectable difference of rates in points; ``>100`` where no difference that there can be is found."""
    if effect is None:
        return DASH
    return ">100" if effect > 1 else f"{100 * effect:.{digits}f}"


def plain_number(value: float | None, digits: int = 0) -> str:
    """Return a plain number with thousands separated."""
    return DASH if value is None else f"{value:,.{digits}f}"


def span(low: float, high: float) -> str:
    """Return ``1.20 to 3.45`` with about three digits, or one number where both ends look alike."""
    ends = [f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}" for value in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def error_counts(counts: dict[str, int]) -> str:
    """Return ``2 user, 1 model``, or 0."""
    return ", ".join(f"{n} {boundary}" for boundary, n in sorted(counts.items())) or "0"


def _written(estimate: Interval, factor: float, form: str) -> str:
    if estimate.value is None:
        return DASH
    text = _number(estimate.value * factor, form)
    if estimate.low is None:
        return text
    high = "∞" if estimate.high is None else _number(estimate.high * factor, form)
    return f"{text} [{_number(estimate.low * factor, form)}, {high}]"


def _number(value: float, form: str) -> str:
    """Return a formatted number with a true minus sign, and no sign before a zero."""
    text = format(value, form)
    return text[1:] if text[0] in "+-" and not text.strip("+-0.,") else text.replace("-", "−")
