"""Tables of note precision on logged failures, from what ``python -m eval.logged_notes`` wrote."""

from functools import cache
from pathlib import Path

from eval.logged_notes.judged_notes import ALL, COVER, Ahead, Moment
from eval.logged_notes.summary import EVERY, NoteCell, NotePrecision, NoteShare
from eval.metrics.formats import percent
from eval.publish.markdown import table

RESULT = Path(__file__).resolve().parents[2] / "results" / "real-logs" / "notes.json"
#: Backbones as the logs name them, in the order of the table.
BACKBONES = {
    "qwen3-4b-instruct": "Qwen3-4B-Instruct",
    "qwen3-4b": "Qwen3-4B",
    "llama-3.1-8b": "Llama-3.1-8B",
    "gpt-4o": "gpt-4o",
}
_AHEAD: dict[Ahead, str] = {"change": "a change", "other": "another call", "nothing": "none left"}
_HEAD = (
    "note at % of decisions",
    "notes",
    "names tool, %",
    "names value, %",
    "contradicts, %",
    "precision, %",
    "contradicts at random, %",
    "precision at random, %",
)


def notes_by_helper() -> str:
    """Tabulate all failures: one row per helper, set of helpers and router."""
    result = _read()
    counts, whole = result.failures, [c.chooser for c in result.cells if c.moment == "decisive" and _is_whole(c)]
    ahead = {
        moment: ", ".join(f"{_AHEAD[kind]} {100 * n / counts.judged:.0f} %" for kind, n in kinds.items())
        for moment, kinds in result.ahead.items()
    }
    left_out = (
        f"{counts.blamed_elsewhere} are blamed on the user or the environment, {counts.no_decision} have no decisive "
        "decision"
    )
    versions = f"texts of notes {result.template_texts}, taxonomy {result.taxonomy}, reading by {result.reading}"
    caption = (
        f"{counts.judged} of {counts.failures} failures, of {_tasks(result)} tasks ({left_out}). The reference's next "
        f"action at the decisive decision: {ahead['decisive']}; at the random one: {ahead['random']}. Versions: "
        f"{versions}; seed {result.seed}. Computed at commit {(result.commit or 'unknown')[:7]} by `{result.command}`."
    )
    return f"{caption}\n\n{table(('notes of', *_HEAD), [(name, *_row(name, EVERY, EVERY)) for name in whole])}"


def by_group() -> str:
    """Tabulate all six helpers and the cover of the labels by failure category and by backbone."""
    categories = sorted({cell.category for cell in _read().cells} - {EVERY})
    groups = [(code, EVERY, code) for code in categories]
    groups += [(shown, backbone, EVERY) for backbone, shown in BACKBONES.items()]
    body = [
        (shown, str(_cell(name, backbone, code, "decisive").decisions), name, *_row(name, backbone, code))
        for shown, backbone, code in groups
        for name in (ALL, COVER)
    ]
    return table(("failures", "n", "notes of", *_HEAD), body)


def _row(name: str, backbone: str, category: str) -> tuple[str, ...]:
    decisive, drawn = (_cell(name, backbone, category, moment) for moment in ("decisive", "random"))
    measures = (decisive.names_tool, decisive.names_value, decisive.contradicts, decisive.precision)
    shares = (*measures, drawn.contradicts, drawn.precision)
    return percent(decisive.given, 0), str(decisive.notes), *map(_judged, shares)


def _judged(share: NoteShare) -> str:
    """Return the share with how many notes could be judged."""
    return f"{percent(share.share, 0)} of {share.notes}"


def _cell(name: str, backbone: str, category: str, moment: Moment) -> NoteCell:
    key = (name, backbone, category, moment)
    return next(c for c in _read().cells if (c.chooser, c.backbone, c.category, c.moment) == key)


def _is_whole(cell: NoteCell) -> bool:
    return cell.backbone == EVERY and cell.category == EVERY


def _tasks(result: NotePrecision) -> int:
    return next(cell.given.n or 0 for cell in result.cells if _is_whole(cell))


@cache
def _read() -> NotePrecision:
    return NotePrecision.model_validate_json(RESULT.read_text(encoding="utf-8"))
