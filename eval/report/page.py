"""The report of a comparison: one offline page, Markdown, LaTeX tables and figures."""

import base64
import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from eval.compare.comparison import read_comparison
from eval.compare.schema import Comparison, TaskCell
from eval.metrics.formats import count, p_statement, percent
from eval.report.figures import figures, inline_svg, save_figure
from eval.report.latex import FIRST_WORDS, WIDTHS, latex
from eval.report.narrative import headline_answers
from eval.report.table_format import Table, markdown, md
from eval.report.tables import comparison_tables, judged_tasks
from eval.report.transcripts import find_episodes, script_json, transcripts
from fama.files import replacing, write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
PAGE, NOTES = "report.html", "report.md"
FIGURE_KINDS = ("png", "pdf")
CAPTIONS = {
    "success_over_tokens": "Success over tokens",
    "success_over_new_tokens": "Success over tokens that no cache held",
    "differences": "Difference to the agent without helpers",
    "curves": "Success over tokens for every price of tokens, replayed",
}


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report, the page first, and how many transcripts the page holds."""

    files: tuple[Path, ...]
    transcripts: int


def write_report(folder: Path) -> WrittenReport:
    """Read ``comparison.json`` and the episodes behind it, and write the report beside it.

    Tables and figures of an earlier report that this one has not are removed.

    Raises:
        BadInput: there is no comparison, or the episodes are damaged.
    """
    comparison = read_comparison(folder)
    episodes = find_episodes(folder, comparison)
    wanted = {id_ for row in comparison.per_task for cell in row.arms.values() for id_ in cell.episodes}
    shown = transcripts(episodes, wanted) if episodes else {}
    drawn = figures(comparison)
    built = comparison_tables(comparison)
    page, notes = folder / PAGE, folder / NOTES
    files = [page, notes]
    write_atomically(page, render_page(comparison, built, drawn, shown))
    write_atomically(notes, render_markdown(comparison, built, tuple(drawn)))
    for table in built:
        for width in WIDTHS:
            files.append(folder / "tables" / f"{table.name}{width.suffix}.tex")
            write_atomically(files[-1], latex(table, width))
    for name, figure in drawn.items():
        for kind in FIGURE_KINDS:
            files.append(folder / "figures" / f"{name}.{kind}")
            _save(figure, files[-1])
    for file in _reported(folder) - set(files):
        file.unlink()
    return WrittenReport(tuple(files), len(shown))


def _reported(folder: Path) -> set[Path]:
    """Return the tables and figures that reports of the folder wrote; files of other people's are none."""
    drawn = {folder / "figures" / f"{name}.{kind}" for name in CAPTIONS for kind in FIGURE_KINDS}
    written = {file for file in (folder / "tables").glob("*.tex") if file.read_bytes().startswith(FIRST_WORDS.encode())}
    return written | {file for file in drawn if file.is_file()}


def _told(comparison: Comparison) -> list[dict[str, str]]:
    """Return the text shown for an arm whose mark in a figure is pointed at."""
    told = []
    for arm in comparison.arms:
        m, against = arm.measures, arm.versus_none
        parts = [f"{percent(m.success)} % of {judged_tasks(m)} tasks", f"{count(m.tokens)} tokens per episode"]
        if against is not None and against.estimate.value is not None:
            test = "" if against.p is None else f", {p_statement(against.p_holm)}"
            parts.append(f"{percent(against.estimate, signed=True)} points against {against.versus}{test}")
        told.append({"arm": arm.arm, "told": "; ".join(parts)})
    return told


def render_page(
    comparison: Comparison, built: list[Table], drawn: dict[str, Any], shown: dict[str, dict[str, Any]]
) -> str:
    """Return the page: everything inline, nothing fetched, and a policy that allows its own style and script only."""
    from markupsafe import Markup

    style, script = ((TEMPLATES / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    ids = {row.task_id: {arm: list(cell.episodes) for arm, cell in row.arms.items()} for row in comparison.per_task}
    known = {arm.arm for arm in comparison.arms}
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            title=_title(comparison),
            answers=headline_answers(comparison),
            notes=_notes(comparison),
            # our own drawings, style, script and escaped JSON: the only text that is not escaped as HTML
            figures=[{"caption": CAPTIONS[n], "svg": Markup(inline_svg(f, n, CAPTIONS[n]))} for n, f in drawn.items()],  # noqa: S704
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            data=Markup(script_json({"episodes": shown, "tasks": ids, "arms": _told(comparison)})),  # noqa: S704
            style_hash=page_hash(style),
            script_hash=page_hash(script),
            tables=[_for_page(table) for table in built],
            arms=[arm.arm for arm in comparison.arms],
            per_task=[
                {
                    "task_id": row.task_id,
                    "cells": [_task_cell(arm, cell, shown) for arm, cell in row.arms.items() if arm in known],
                    "minimal": row.minimal or "–",
                }
                for row in comparison.per_task
            ],
            transcripts_note=_transcripts_note(comparison, len(shown)),
            provenance=_provenance(comparison),
            config=yaml.safe_dump(comparison.config, sort_keys=False, allow_unicode=True),
        )
    )


def render_markdown(comparison: Comparison, built: list[Table], drawn: tuple[str, ...]) -> str:
    """Return the report as Markdown, with its figures as files beside it."""
    summary = headline_answers(comparison)
    cards = [{"question": c.question, "answer": md(c.answer), "detail": md(c.detail)} for c in summary.cards]
    return (
        page_environment()
        .get_template("report.md.j2")
        .render(
            title=md(_title(comparison)),
            answers={"headline": md(summary.headline), "cards": cards, "duel": [md(line) for line in summary.duel]},
            notes=[md(line) for line in _notes(comparison)],
            figures=[(name, CAPTIONS[name]) for name in drawn],
            tables=[{"title": t.title, "body": markdown(t), "caption": md(t.caption)} for t in built],
            provenance=[(name, md(value)) for name, value in _provenance(comparison)],
        )
        .strip()
        + "\n"
    )


@lru_cache(maxsize=1)
def page_environment() -> "Environment":
    """Return the environment of the pages' templates; HTML is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_hash(text: str) -> str:
    """Return the hash by which a page's policy allows an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _title(comparison: Comparison) -> str:
    size = f"{comparison.tasks} {comparison.split} tasks × {comparison.trials}"
    kind = "run live" if comparison.kind == "live" else "replayed from executed episodes"
    return (
        f"{comparison.benchmark} {comparison.domain} · {comparison.backbone} ({comparison.strategy}) · "
        f"{comparison.track} selection · {size} trial{'s' * (comparison.trials != 1)} · {kind}"
    )


def _notes(comparison: Comparison) -> list[str]:
    return [*comparison.simulated, *comparison.warnings]


def _provenance(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (
            "benchmark",
            f"{comparison.benchmark} {comparison.benchmark_version}, {comparison.domain}, {comparison.split}",
        ),
        ("command", comparison.command or "–"),
        ("commit", comparison.commit or "–"),
        ("episodes ran at", ", ".join(f"{commit} ({n})" for commit, n in comparison.commits.items()) or "–"),
        ("package", comparison.package_version),
        ("written", comparison.created_at),
        ("seed", str(comparison.seed)),
        ("intervals", f"95 %, {comparison.bootstrap} resamples of tasks; Wilson with clustered variance for rates"),
    ]


def _transcripts_note(comparison: Comparison, shown: int) -> str:
    wanted = sum(len(cell.episodes) for row in comparison.per_task for cell in row.arms.values())
    if not shown:
        return "The episodes' file was not found, so there are no transcripts here."
    if shown < wanted and comparison.kind == "live":
        return f"Click one to read its episode ({shown:,} of {wanted:,} are in this page)."
    return "Click one to read its episode."


def _for_page(table: Table) -> dict[str, Any]:
    """Return a table whose cells have their interval apart from the value, so that it can be set smaller."""

    def split(text: str) -> dict[str, str]:
        value, bracket, rest = text.partition(" [")
        return (
            {"value": value, "interval": f"[{rest}"}
            if bracket and text.endswith("]")
            else {"value": "", "interval": ""}
        )

    rows = [[{**asdict(cell), **split(cell.text)} for cell in row] for row in table.rows]
    return {"name": table.name, "title": table.title, "caption": table.caption, "columns": table.columns, "rows": rows}


def _task_cell(arm: str, cell: TaskCell, shown: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if cell.trials:
        rate = cell.successes / cell.trials
        kind = "solved" if rate == 1 else "partly" if rate else "failed"
        text = f"{cell.successes}/{cell.trials}" if cell.trials > 1 else ("✓" if rate else "✗")
    else:
        rate, kind, text = -1.0, "error" if cell.errors else "absent", "error" if cell.errors else "–"
    tokens = "" if cell.tokens is None else f", {cell.tokens:,.0f} tokens"
    faults = f", {cell.errors} errors" if cell.errors else ""
    subset = ", ".join(cell.subsets) or "not executed"
    return {
        "arm": arm,
        "kind": kind,
        "text": text + ("!" if cell.errors and cell.trials else ""),
        "sort": rate,
        "title": f"{subset}: {cell.successes} of {cell.trials} solved{tokens}{faults}",
        "episodes": any(id_ in shown for id_ in cell.episodes),
    }


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        save_figure(figure, temporary)
