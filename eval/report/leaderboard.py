"""Comparisons of many people on one page: each is computed again from its episodes before it is shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.compare.comparison import read_comparison
from eval.compare.results import differences
from eval.compare.schema import ArmResult, Comparison
from eval.metrics.episode_scores import Score, score_of
from eval.metrics.formats import DASH, count, errors, p_value, percent
from eval.metrics.measures import PairedDifference, Resampling, measure
from eval.report.page import page_environment, page_hash
from eval.report.table_format import Cell, Table, markdown, md
from eval.report.transcripts import find_episodes
from fama.agents.runs.run_config import config_hash
from fama.episodes.records import Record
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.files import write_atomically
from fama.intervals import Interval
from fama.selection.base import SELECTORS
from fama.selection.health import HealthTally, SelectorHealth, portion
from fama.settings import CompareSettings

BOARD_VERSION = 1
JSON, NOTES, PAGE = "leaderboard.json", "leaderboard.md", "leaderboard.html"
_CLOSE = 1e-9


class Entry(Record):
    """One arm of one comparison. Everything but ``source``, ``command`` and ``commit`` was computed again here."""

    arm: str
    selector: str
    success: Interval
    trials: int
    tokens: Interval
    against_none: PairedDifference | None = None
    errors: dict[str, int] = {}
    health: SelectorHealth | None = None
    source: str
    command: str
    commit: str | None = None


class Group(Record):
    """Entries that may be compared: one benchmark version, domain, split, task set, backbone, strategy and track."""

    benchmark: str
    benchmark_version: str
    domain: str
    split: str
    tasks: int
    backbone: str
    strategy: str
    track: str
    settings: str
    """Hash of all that shapes an episode besides its task, trial and arm: demonstrations, limits, helpers, sampling."""
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Return the group in words."""
        where = f"{self.benchmark_version} {self.domain}, {self.tasks} {self.split} tasks"
        return f"{where} · {self.backbone} ({self.strategy}) · {self.track} selection"


class Leaderboard(Record):
    """The whole board. A new comparison joins by its folder; ``fama report --leaderboard`` writes the board anew."""

    schema_version: int = BOARD_VERSION
    groups: tuple[Group, ...]


def verify(folder: Path) -> tuple[Comparison, dict[str, ArmResult]]:
    """Return a comparison, and its arms computed again from the episodes beside it.

    Raises:
        BadInput: a replay, no episodes, an episode that is missing, and the first number that is not what the episodes
            say, with both values.
    """
    comparison = read_comparison(folder)
    if comparison.kind != "live":
        raise BadInput(f"{folder}: is replayed from an outcome table; a leaderboard takes comparisons that were run")
    path = find_episodes(folder, comparison)
    if path is None:
        raise BadInput(f"{folder}: has no episodes.jsonl or episodes.jsonl.gz beside its comparison; add it")
    arm_of = {name: arm for row in comparison.per_task for arm, cell in row.arms.items() for name in cell.episodes}
    scores: dict[str, Score] = {}
    tallies = {arm.arm: HealthTally() for arm in comparison.arms}
    for episode in read_episodes(path):
        scores[episode.id] = score_of(episode)
        if arm_of.get(episode.id) in tallies:
            tallies[arm_of[episode.id]].add(episode)
    by_arm: dict[str, list[Score]] = {arm.arm: [] for arm in comparison.arms}
    for row in comparison.per_task:
        for arm, cell in row.arms.items():
            for name in cell.episodes:
                if name not in scores:
                    raise BadInput(f"{path}: episode {name} of arm {arm} on {row.task_id} is missing; write both again")
                if (scores[name].task_id, scores[name].backbone) != (row.task_id, comparison.backbone):
                    raise BadInput(f"{path}: episode {name} is not of {row.task_id} and {comparison.backbone}")
                by_arm[arm].append(scores[name])
    tasks = tuple(row.task_id for row in comparison.per_task)
    resampling = Resampling(comparison.seed, comparison.bootstrap)
    plain = next((arm.arm for arm in comparison.arms if SELECTORS.traits(arm.selector).plain), None)
    against = differences(by_arm, plain, tasks, resampling)
    again = {}
    for result in comparison.arms:
        again[result.arm] = ArmResult(
            arm=result.arm,
            selector=result.selector,
            options=result.options,
            measures=measure(by_arm[result.arm], tasks, resampling),
            versus_none=against.get(result.arm),
            health=tallies[result.arm].health(),
        )
        for part in ("measures", "versus_none", *(["health"] if result.health is not None else [])):
            stated, computed = getattr(result, part), getattr(again[result.arm], part)
            _hold(f"{folder}: arm {result.arm}: {part}", _tree(stated), _tree(computed))
    return comparison, again


def build(folders: Sequence[Path]) -> Leaderboard:
    """Return the board of these comparisons; groups by title, entries by success, then by tokens.

    Raises:
        BadInput: a comparison is not what its episodes say.
    """
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for folder in folders:
        comparison, arms = verify(folder)
        settings = CompareSettings.model_validate(comparison.config)
        one = comparison
        key = (
            *(one.benchmark, one.benchmark_version, one.domain, one.split, one.tasks),
            *(one.backbone, one.strategy, one.track, config_hash(settings)[:12]),
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
                source="/".join(folder.resolve().parts[-2:]),
                command=comparison.command,
                commit=comparison.commit,
            )
            for arm in arms.values()
        )
    names = [name for name in Group.model_fields if name != "entries"]
    return Leaderboard(
        groups=tuple(
            Group(**dict(zip(names, key, strict=True)), entries=tuple(sorted(entries, key=_rank)))
            for key, entries in sorted(groups.items(), key=lambda item: tuple(map(str, item[0])))
        )
    )


def write_leaderboard(folders: Sequence[Path], out: Path) -> tuple[Path, ...]:
    """Verify, and write ``leaderboard.html``, ``.md`` and ``.json`` into ``out``.

    Raises:
        BadInput: a comparison is not what its episodes say; nothing is written.
    """
    from markupsafe import Markup

    board = build(folders)
    built = [_table(group) for group in board.groups]
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
                Cell(entry.arm),
                Cell(percent(entry.success), entry.success.value),
                Cell(percent(versus.estimate, signed=True) if versus else ""),
                Cell(p_value(versus.p_holm) if versus else ""),
                Cell(count(entry.tokens), entry.tokens.value),
                Cell(percent(versus.overhead, 0, signed=True) if versus else ""),
                Cell(str(entry.trials), entry.trials),
                Cell(errors(entry.errors)),
                Cell(_unread(entry.health)),
                Cell(f"{entry.source} ({(entry.commit or 'no commit')[:7]})"),
            )
        )
    columns = ("arm", "success, %", "against none, points", "p, Holm", "tokens per episode", "over none, %")
    return Table("group", group.title, "", (*columns, "trials", "errors", "selections unread", "from"), tuple(rows))


def _unread(health: SelectorHealth | None) -> str:
    """Return how many decisions that asked for a selection got none that was read."""
    if health is None:
        return DASH
    asked = health.selections + health.unaffordable
    text = portion(health.unparsed + health.unaffordable, asked)
    return f"{text}: broken selector" if health.broken else text


def _rank(entry: Entry) -> tuple[float, float, str]:
    return (-(entry.success.value or 0.0), entry.tokens.value or 0.0, entry.arm)


def _tree(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Record) else value


def _hold(where: str, stated: Any, computed: Any) -> None:
    """Refuse the first leaf that differs by more than rounding."""
    if isinstance(stated, dict) and isinstance(computed, dict) and stated.keys() == computed.keys():
        for key in stated:
            _hold(f"{where}.{key}", stated[key], computed[key])
    elif isinstance(stated, list) and isinstance(computed, list) and len(stated) == len(computed):
        for index, pair in enumerate(zip(stated, computed, strict=True)):
            _hold(f"{where}[{index}]", *pair)
    elif isinstance(stated, int | float) and isinstance(computed, int | float):
        if abs(stated - computed) > _CLOSE * max(1.0, abs(stated), abs(computed)):
            raise BadInput(f"{where} is {stated}, but its episodes say {computed}; run `fama compare` again")
    elif stated != computed:
        raise BadInput(f"{where} is {stated!r}, but its episodes say {computed!r}; run `fama compare` again")
