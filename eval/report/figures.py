"""The report's figures, drawn with matplotlib, as SVG for the page and PNG and PDF for papers."""

import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from colorsys import hls_to_rgb
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from eval.compare.schema import ArmResult, Comparison
from eval.metrics.curves import OperatingPoint, frontier
from eval.metrics.figure_text import PLAIN, fonts_for, legend_text, without_glyph_warnings
from eval.metrics.formats import DASH
from eval.report.tables import CostColumn, arm_intervals
from fama.errors import BadInput
from fama.intervals import Interval

INK, MUTED, GRID = "#1c2430", "#667085", "#e4e7ec"
#: colours by selector, readable for colour-blind eyes (Okabe and Ito)
COLOURS = {
    "none": "#667085",
    "all": "#d55e00",
    "irma": "#e69f00",
    "random": "#999999",
    "best_fixed": "#56b4e9",
    "prompted": "#cc79a7",
    "linear": "#009e73",
    "learned": "#0072b2",
}
#: for further arms: of one selector, or of one without a colour
MORE_COLOURS = ("#7f56d9", "#a15c07", "#0f766e", "#b42318", "#155eef", "#4d7c0f", "#be185d", "#334155")
#: Turn from one hue to the next, the golden section: no two come near each other soon.
_HUE = 0.618034
_RC: Any = {
    **PLAIN,
    "svg.fonttype": "none",
    "svg.hashsalt": "fama",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}
_NO_METADATA: dict[str, Any] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None},
}


#: Width and height of the axes of success over tokens, and width of a letter, in points.
_AXES, _SIGN = (368.0, 227.0), 6.2
#: Share of the width that is left free on the left, for labels.
_MARGIN = 0.15
#: Points above or below its arm from which a label has a line to it.
_NEAR = 20
_ENDINGS = (".png", ".pdf", ".svg")


def figures(comparison: Comparison) -> dict[str, Any]:
    """Draw the figures by file name; those without data are left out."""
    import matplotlib

    with matplotlib.rc_context({**_RC, **fonts_for(arm.arm for arm in comparison.arms)}):
        drawn = {
            "success_over_tokens": _success_over(comparison, "tokens"),
            "success_over_new_tokens": _success_over(comparison, "new_tokens"),
            "differences": _differences(comparison),
            "curves": _curves(comparison),
        }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def check_name(name: str) -> None:
    """Refuse a name that a user gave for a figure where its ending is of no format.

    Raises:
        BadInput: its ending is of no format.
    """
    if Path(name).suffix not in _ENDINGS:
        raise BadInput(f"--figure {name}: end its name with one of {', '.join(_ENDINGS)}")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format of the path's ending."""
    import matplotlib

    with matplotlib.rc_context(_RC), without_glyph_warnings():
        kind = path.suffix[1:]
        figure.savefig(path, dpi=200, bbox_inches="tight", metadata=_NO_METADATA.get(kind, {}))


def inline_svg(figure: Any, name: str, label: str) -> str:
    """Return a figure as an ``<svg>`` element without styles, scripts or links, for a page with a strict policy.

    ``name`` goes before every id, so that figures of one page do not share any.
    """
    import matplotlib

    with matplotlib.rc_context(_RC), without_glyph_warnings():
        text = io.StringIO()
        figure.savefig(text, format="svg", bbox_inches="tight", transparent=True, metadata=_NO_METADATA["svg"])
    body = text.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body)
    body = re.sub(r'\sstyle="([^"]*)"', _as_attributes, body)
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\1{name}-", body)
    view = re.search(r'viewBox="([^"]*)"', body)
    box = view[1] if view else "0 0 100 100"
    head = f'<svg viewBox="{box}" role="img" aria-label="{label}" stroke-linejoin="round" stroke-linecap="butt">'
    return re.sub(r"^<svg[^>]*>", head, body, count=1)


def _as_attributes(match: re.Match[str]) -> str:
    """Return a style as presentation attributes; of the font only the size stays, the page sets the family."""
    attributes = []
    for part in match[1].split(";"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            weight = ' font-weight="bold"' if "bold" in value or re.search(r"\b[67]00\b", value) else ""
            attributes.append(f'font-size="{size[1]}px"{weight}' if size else "")
        elif name and value:
            attributes.append(f'{name}="{value.replace(chr(34), "")}"')
    return " " + " ".join(attributes) if attributes else ""


def _success_over(comparison: Comparison, cost: CostColumn) -> Any:
    """Draw success over tokens, with intervals on both; best and nothing as lines, over all tokens the frontier, too.

    None where no arm has both.
    """
    from matplotlib.figure import Figure

    points = arm_intervals(comparison.arms, cost)
    if not points:
        return None
    figure = Figure(figsize=(6.6, 4.1))
    axes = figure.subplots()
    place = {arm: (tokens.value or 0.0, (success.value or 0.0) * 100) for arm, tokens, success in points}
    steps = [place[arm] for arm in comparison.frontier if arm in place]
    if len(steps) > 1 and cost == "tokens":
        axes.step(
            *zip(*steps, strict=True), where="post", color="#98a2b3", linewidth=1, linestyle=(0, (4, 3)), zorder=1
        )
    colours = arm_colours(comparison.arms)
    for arm, tokens, success in points:
        (x, y), colour = place[arm], colours[arm]
        drawn = axes.errorbar(
            x, y, xerr=_arms(tokens, 1), yerr=_arms(success, 100), fmt="o", color=colour, markersize=6,
            elinewidth=1, alpha=0.9, ecolor=f"{colour}66", capsize=0, zorder=3,
        )  # fmt: skip
        _name(comparison, arm, *drawn.get_children())
    tops = [m.success.high or m.success.value or 0.0 for m in (arm.measures for arm in comparison.arms)]
    axes.set_ylim(-3, min(103.0, max(10.0, max(tops) * 100 + 8)))
    stated = ((comparison.do_nothing, "doing nothing"), *_oracle(comparison))
    lines = [(estimate.value * 100, name) for estimate, name in stated if estimate.value is not None]
    top, ends = axes.get_ylim()[1], []
    for height, name in lines:
        inside = height < top - 2
        if inside:
            axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
            ends.append((axes.get_xlim()[1], height, len(name)))
        axes.annotate(
            name if inside else f"{name}: {height:.0f} % ↑",
            (1, height if inside else top),
            xycoords=("axes fraction", "data"), xytext=(0, 3 if inside else -10),
            textcoords="offset points", ha="right", color=MUTED, fontsize=9,
        )  # fmt: skip
    low, high = axes.get_xlim()
    axes.set_xlim(low - _MARGIN * (high - low), high)  # room for labels on the left
    spans = [high - low for low, high in (axes.get_xlim(), axes.get_ylim())]
    for arm, (dx, dy, side) in label_places(place, spans[0] or 1.0, spans[1], ends, axes.get_xlim()[0]).items():
        label = axes.annotate(
            arm,
            place[arm],
            xytext=(dx, dy),
            textcoords="offset points",
            ha=side,
            color=colours[arm],
            fontsize=10,
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": f"{colours[arm]}99", "linewidth": 0.8} if abs(dy) > _NEAR else None,
        )
        _name(comparison, arm, label)
    _dress(axes, "tokens" if cost == "tokens" else "tokens in no cache")
    return figure


def _curves(comparison: Comparison) -> Any:
    """Draw what each arm attains over λ: a line where it depends on the price of tokens, a point where it does not.

    Of an arm with unknown tokens there is its name only. None where no arm's tokens are known.
    """
    from matplotlib.figure import Figure

    if all(curve.tokens is None for curve in comparison.curves):
        return None
    figure = Figure(figsize=(6.6, 4.1))
    axes = figure.subplots()
    colours = arm_colours(comparison.arms)
    for curve in comparison.curves:
        colour, name = colours.get(curve.arm, INK), legend_text(curve.arm)
        if curve.tokens is None:
            axes.plot([], [], "o", color=colour, markersize=6, label=legend_text(f"{curve.arm}: {DASH} tokens"))
            continue
        heights = [100 * (point.success.value or 0.0) for point in curve.points]
        points = list(zip(curve.tokens, heights, strict=True))
        if len(curve.points) == 1:
            lines = axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=6, label=name, zorder=3)
            _name(comparison, curve.arm, *lines)
            continue
        steps = [(p.tokens, 100 * p.success) for p in frontier([OperatingPoint(x, y / 100) for x, y in points])]
        lines = axes.step(
            *zip(*steps, strict=True), where="post", color=colour, linewidth=1.4, marker="o", markersize=3.5,
            linestyle=(0, (1, 2)) if curve.arm not in colours else "-", label=name, zorder=2,
        )  # fmt: skip
        _name(comparison, curve.arm, *lines)
    axes.set_ylim(bottom=0)
    _dress(axes, "tokens")
    # inside, its marks look measured
    axes.legend(frameon=False, fontsize=9, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def _dress(axes: Any, kind: str) -> None:
    """Name and grid the axes of success over tokens of a kind."""
    axes.set_xlabel(f"{kind} per episode (agent + helpers + selection)")
    axes.set_ylabel("success, %")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _name(comparison: Comparison, arm: str, *artists: Any) -> None:
    """Give an arm's marks ids, ``arm.PLACE.PART``, by which the page's script finds them."""
    place = next((index for index, result in enumerate(comparison.arms) if result.arm == arm), None)
    for part, artist in enumerate(artists):
        if place is not None:
            kind = type(artist).__name__.lower()
            artist.set_gid(f"arm.{place}.{kind}{part}")


def label_places(
    place: dict[str, tuple[float, float]],
    wide: float,
    high: float,
    ends: Sequence[tuple[float, float, int]] = (),
    edge: float = -math.inf,
) -> dict[str, tuple[int, int, str]]:
    """Return the offsets of labels in points, on the right or left, above or below, so that none hides another.

    ``wide`` and ``high`` are what the axes span, in the units of the places. Of arms at one place, labels stand
    below each other. ``ends`` are the right ends and lengths in letters of texts that stand on lines. No label crosses
    the ``edge`` on the left, where the ticks' numbers stand, while there is another spot.
    """
    points = {arm: (x / wide * _AXES[0], y / high * _AXES[1]) for arm, (x, y) in place.items()}
    taken = [(x - 4, x + 4, y - 4, y + 4) for x, y in points.values()]
    for x, y, letters in ends:
        right, base = x / wide * _AXES[0], y / high * _AXES[1]
        taken.append((right - _SIGN * letters, right, base, base + 12))
    order = sorted(points, key=lambda arm: points[arm])
    tried = [_placed(some, points, taken, edge / wide * _AXES[0]) for some in (order, order[::-1])]
    return min(tried, key=lambda chosen: sum(abs(dy) for _, dy, _ in chosen.values()))


def label_width(text: str) -> float:
    """Return the estimated width of a label in points; signs of Chinese and the like are about twice as wide."""
    return _SIGN * sum(1 + (east_asian_width(sign) in "WF") for sign in text)


def _placed(
    order: Sequence[str],
    points: dict[str, tuple[float, float]],
    taken: Sequence[tuple[float, float, float, float]],
    edge: float,
) -> dict[str, tuple[int, int, str]]:
    """Give each label in turn the nearest spot that is free; boxes are left, right, bottom and top in points."""
    rows = (5, -13, 17, -25, 29, -37, 41, -49, 53, -61)
    spots = [(dx, dy, side) for dy in rows for dx, side in ((8, "left"), (-8, "right"))]
    boxes, chosen = [*taken], {}
    for arm in order:
        x, y = points[arm]
        for dx, dy, side in spots:
            start = x + dx - (0 if side == "left" else label_width(arm))
            box = (start, start + label_width(arm), y + dy - 2, y + dy + 9)
            hides = any(box[0] < b and a < box[1] and box[2] < d and c < box[3] for a, b, c, d in boxes)
            if not hides and box[0] >= edge:
                break
        boxes.append(box)
        chosen[arm] = (dx, dy, side)
    return chosen


def _differences(comparison: Comparison) -> Any:
    """Draw the difference in success to the plain agent, one interval per arm."""
    from matplotlib.figure import Figure

    arms = [arm for arm in comparison.arms if arm.versus_none and arm.versus_none.estimate.value is not None]
    if not arms:
        return None
    figure = Figure(figsize=(6.6, 0.6 + 0.42 * len(arms)))
    axes = figure.subplots()
    colours = arm_colours(comparison.arms)
    for row, arm in enumerate(reversed(arms)):
        estimate = arm.versus_none.estimate if arm.versus_none else Interval(None, None, None, 0)
        drawn = axes.errorbar(
            (estimate.value or 0.0) * 100, row, xerr=_arms(estimate, 100), fmt="o", markersize=6, capsize=0,
            elinewidth=1.6, color=colours[arm.arm],
        )  # fmt: skip
        _name(comparison, arm.arm, *drawn.get_children())
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(arms)), [arm.arm for arm in reversed(arms)], color=INK)
    axes.set_ylim(-0.6, len(arms) - 0.4)
    axes.set_xlabel(f"success against {comparison.plain}, points (95 % interval)")
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _oracle(comparison: Comparison) -> list[tuple[Interval, str]]:
    return (
        [(comparison.lattice.oracle, f"best executed subset, after the fact{comparison.grid_part}")]
        if comparison.lattice
        else []
    )


def _arms(estimate: Interval, factor: float) -> Sequence[Sequence[float]] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    low, high = estimate.value - estimate.low, estimate.high - estimate.value
    return [[max(0.0, low) * factor], [max(0.0, high) * factor]]


def arm_colours(arms: Sequence[ArmResult]) -> dict[str, str]:
    """Return the colour of each arm: its name's, else its selector's, else the next of those that no arm has."""
    named = {arm.arm: COLOURS[arm.arm] for arm in arms if arm.arm in COLOURS}
    for arm in arms:
        if arm.arm not in named:
            taken = set(named.values())
            own = COLOURS.get(arm.selector)
            named[arm.arm] = own if own and own not in taken else next(c for c in _more_colours() if c not in taken)
    return {arm.arm: named[arm.arm] for arm in arms}


def _more_colours() -> Iterator[str]:
    """Yield the further colours, then dark ones of other hues without an end."""
    yield from MORE_COLOURS
    for step in itertools.count(1):
        red, green, blue = (round(255 * part) for part in hls_to_rgb(step * _HUE % 1.0, (0.32, 0.5)[step % 2], 0.7))
        yield f"#{red:02x}{green:02x}{blue:02x}"
