"""Comparisons of many people on one page: each is computed again from its episodes before it is shown."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.compare.results import NOT_RECORDED
from eval.metrics.formats import DASH, count, error_counts, p_value, percent
from eval.metrics.measures import PairedDifference
from eval.metrics.ranking import rank
from eval.report.page import page_environment, page_hash
from eval.report.table_format import Table, TableCell, markdown, md
from eval.report.verification import verify
from fama.agents.runs.run_config import tree_hash
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.files import write_atomically
from fama.intervals import Interval
from fama.selection.health import SelectorHealth, portion

BOARD_VERSION = 3
JSON, NOTES, PAGE = "leaderboard.json", "leaderboard.md", "leaderboard.html"


class Entry(Record):
    """One arm of one comparison, computed again from its episodes; ``commits`` counts them by commit."""

    arm: str
    selector: str
    success: Interval
    trials: int
    tokens: Interval
    against_none: PairedDifference | None = None
    errors: dict[str, int] = {}
    health: SelectorHealth | None = None
    source: str
    commits: dict[str, int]


class ComparisonSource(Record):
    """A comparison: what its file states and no episode says, by field; and what to beware of, as computed here."""

    source: str
    stated: dict[str, str]
    warnings: tuple[str, ...]
    simulated: tuple[str, ...]


class Group(Record):
    """Entries that may be compared: one benchmark version, domain, split, task set, backbone, strategy and track."""

    benchmark: str
    benchmark_version: str
    domain: str
    split: str
    tasks: int
    task_ids: str
    """Hash of the ids of the tasks, whatever their order."""
    backbone: str
    strategy: str
    track: str
    settings: str
    """Hash of all that shapes an episode besides its task, trial and arm: demonstrations, limits, helpers, sampling."""
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Return the group in words."""
        where = f"{self.benchmark_version} {self.domain}, {self.tasks} {self.split} tasks (set {self.task_ids[:6]})"
        return f"{where} · {self.backbone} ({self.strategy}) · {self.track} selection"


class Leaderboard(Record):
    """The whole board. A new comparison joins by its folder; ``fama report --leaderboard`` writes the board anew."""

    schema_version: int = BOARD_VERSION
    groups: tuple[Group, ...]
    sources: tuple[ComparisonSource, ...]


def build_leaderboard(folders: Sequence[Path]) -> Leaderboard:
    """Return the board of these comparisons; groups by title, entries by success, then by tokens.

    Raises:
        BadInput: a comparison is not what its episodes say, or a folder is given twice.
    """
    if twice := [folder for folder, n in Counter(folder.resolve() for folder in folders).items() if n > 1]:
        raise BadInput(f"{twice[0]}: is given twice; each of its arms would count twice, name it once")
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    sources = []
    for folder in folders:
        verified = verify(folder)
        one, source = verified.comparison, "/".join(folder.resolve().parts[-2:])
        sources.append(
            ComparisonSource(
                source=source, stated=dict(verified.stated), warnings=one.warnings, simulated=one.simulated
            )
        )
        key = (
            *(one.benchmark, one.benchmark_version, one.domain, one.split, one.tasks, one.task_set.ids),
            *(one.backbone, one.strategy, one.track, tree_hash(one.config)[:12]),
        )
        groups.setdefault(key, []).extend(
            Entry(
                arm=arm.arm,
                selector=arm.selector,
                success=arm.measures.success,
                trials=arm.measures.trials,
                tokens=arm.measures.tokens,
                against_none=arm.versus_none,
                errors=arm.measures.errors,
                health=arm.health,
                source=source,
                commits=one.commits,
            )
            for arm in one.arms
        )
    names = [name for name in Group.model_fields if name != "entries"]
    return Leaderboard(
        groups=tuple(
            Group(**dict(zip(names, key, strict=True)), entries=tuple(sorted(entries, key=_rank)))
            for key, entries in sorted(groups.items(), key=lambda item: tuple(map(str, item[0])))
        ),
        sources=tuple(sources),
    )


def write_leaderboard(folders: Sequence[Path], out: Path) -> tuple[Path, ...]:
    """Verify, and write ``leaderboard.html``, ``.md`` and ``.json`` into ``out``.

    Raises:
        BadInput: a comparison is not what its episodes say; nothing is written.
    """
    from markupsafe import Markup

    board = build_leaderboard(folders)
    built = [*(_table(group) for group in board.groups), *(_beside(source) for source in board.sources)]
    style = (Path(__file__).with_name("templates") / "report.css").read_text(encoding="utf-8")
    page = (
        page_environment()
        .get_template("leaderboard.html.j2")
        .render(
            tables=built,
            style=Markup(style),  # noqa: S704 our own file
            style_hash=page_hash(style),
        )
    )
    notes = "\n".join(f"## {md(table.title)}\n\n{markdown(table)}" for table in built)
    written = {PAGE: page, NOTES: f"# Leaderboard\n\n{notes}", JSON: board.model_dump_json(indent=1) + "\n"}
    for name, text in written.items():
        write_atomically(out / name, text)
    return tuple(out / name for name in written)


def _table(group: Group) -> Table:
    rows = []
    for entry in group.entries:
        versus = entry.against_none
        rows.append(
            (
                TableCell(entry.arm),
                TableCell(percent(entry.success) + _part(entry.success.n, group.tasks), entry.success.value),
                TableCell(percent(versus.estimate, signed=True) if versus else ""),
                TableCell(p_value(versus.p_holm) if versus else ""),
                TableCell(count(entry.tokens), entry.tokens.value),
                TableCell(percent(versus.overhead, 0, signed=True) if versus else ""),
                TableCell(str(entry.trials), entry.trials),
                TableCell(error_counts(entry.errors)),
                TableCell(_unread(entry.health)),
                TableCell(f"{entry.source} ({', '.join(_short(commit) for commit in entry.commits)})"),
            )
        )
    columns = ("arm", "success, %", "against none, points", "p, Holm", "tokens per episode", "over none, %")
    return Table("group", group.title, "", (*columns, "trials", "errors", "selections unread", "from"), tuple(rows))


def _part(judged: int | None, tasks: int) -> str:
    """Return on how many of the group's tasks a rate is, where errors left some without a verdict."""
    return "" if judged in (None, tasks) else f" ({judged} of {tasks} tasks)"


def _short(commit: str) -> str:
    return "commit not recorded" if commit == NOT_RECORDED else commit[:7]


def _beside(source: ComparisonSource) -> Table:
    """Tabulate what stands beside the numbers of a comparison."""
    lines = [("computed", "beware of", line) for line in (*source.simulated, *source.warnings)]
    lines += [("as stated, by no episode", name, value) for name, value in source.stated.items()]
    return Table(
        "source", source.source, "", ("", "field", "value"), tuple(tuple(map(TableCell, line)) for line in lines)
    )


def _unread(health: SelectorHealth | None) -> str:
    """Return how many decisions that asked for a selection got none that was read."""
    if health is None:
        return DASH
    asked = health.selections + health.unaffordable
    text = portion(health.unparsed + health.unaffordable, asked)
    return f"{text}: broken selector" if health.broken else text


def _rank(entry: Entry) -> tuple[float, float, str]:
    return (*rank(entry.success.value, entry.tokens.value), entry.arm)
