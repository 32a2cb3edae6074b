"""Verification of a comparison: all of it is computed again from its episodes, what cannot be is listed as stated."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from eval.collect.do_nothing import do_nothing
from eval.compare.arms import plan_arms
from eval.compare.comparison import read_comparison
from eval.compare.executed import read_executed
from eval.compare.questions import check_questions
from eval.compare.results import compare_arms
from eval.compare.schema import Comparison
from eval.report.answers_table import other_tasks, question, size
from eval.report.transcripts import find_episodes
from fama.agents.runs.plan import Planned, check_once, episode_id, load_benchmark, select_tasks
from fama.agents.runs.run_config import route_of, tree_hash
from fama.envs.mixed import MixedDomains
from fama.episodes.record_faults import fault_of
from fama.episodes.records import Episode, Record
from fama.episodes.store import read_episodes
from fama.errors import BadInput, FamaError
from fama.execution.background import LoopThread
from fama.hashing import content_hash
from fama.helpers.pool import are_names_of
from fama.intervals import Interval
from fama.settings import CompareSettings, domains_of

_CLOSE = 1e-9
#: Fields that no episode says.
_STATED = ("command", "commit", "package_version", "created_at", "track")
#: Fields that every episode of a comparison shares with it.
_SHARED = ("benchmark", "backbone", "strategy")
#: Fields of lines in words: what was computed is shown, other lines are listed as stated.
_LINES = ("warnings", "simulated")
#: Words of a line in earlier releases, and those of today.
_REWORDED = (" a task: a claim", " per task: a claim")
#: Settings that shape no episode; the files are not read again.
_FILES = ("outcomes", "failures", "lattice")
#: Fields that follow from a table of executed subsets, where one was named.
_OF_LATTICE = frozenset({"lattice", "selection", "minimal", "oracle"})
#: Fields that no leaderboard shows and that earlier releases computed otherwise.
_BESIDE = _OF_LATTICE | {
    "payback",
    "subsets",
    "frontier",
    "helpers_per_episode",
    "versus_learned",
    "tokens_per_success",
    "decision_seconds",
    "detectable",
    "detectable_holm",
}
#: Characters of a stated value that are shown; of a longer one, its hash.
_SHOWN = 400
#: Stands for a field that a file lacks, such as one of an earlier release.
_ABSENT = object()


@dataclass(frozen=True)
class Verified:
    """A comparison as its episodes say it, and the fields that they do not say, by name, in words."""

    comparison: Comparison
    stated: Mapping[str, str]


def verify(folder: Path, benchmark: bool = True) -> Verified:
    """Compute a comparison again from the episodes beside it.

    Without ``benchmark`` none is loaded: the do-nothing score and the tasks of the split are taken as stated.

    Raises:
        BadInput: a replay, no episodes, an episode that is missing, twice there, or was run with other settings, and
            the first field that is not what the episodes say, with both values.
    """
    stated = read_comparison(folder)
    if stated.kind != "live":
        raise BadInput(f"{folder}: is replayed from an outcome table; a leaderboard takes comparisons that were run")
    settings = _settings(folder, stated)
    path = find_episodes(folder, stated)
    if path is None:
        raise BadInput(f"{folder}: has no episodes.jsonl or episodes.jsonl.gz beside its comparison; add it")
    _check_shape(folder, stated, settings)
    tasks = tuple(row.task_id for row in stated.per_task)
    world = _world(settings, stated.benchmark_version) if benchmark else None
    if world is not None and (wanted := select_tasks(settings, world)) != tasks:
        other = next(pair for pair in zip_longest(wanted, tasks) if pair[0] != pair[1])
        raise BadInput(
            f"{folder}: per_task: has {other[1]} where the config asks for {other[0]} of {settings.split}; run "
            "`fama compare` again"
        )
    settings_hash = tree_hash(stated.config)
    plan = {episode_id(planned, settings_hash): planned for planned in plan_arms(settings, tasks)}
    cells = {name: row.task_id for row in stated.per_task for cell in row.arms.values() for name in cell.episodes}
    executed = read_executed(
        settings,
        tasks,
        _helper_names(settings, stated),
        {id_: planned.selector.arm for id_, planned in plan.items()},
        _checked(path, stated, settings_hash, plan, cells, world),
        None,
        {arm.arm: arm.one_off for arm in stated.arms},
    )
    asked = {one: told.asked for one, told in zip(settings.questions, stated.answers, strict=False)}
    idle = _idle(settings, world, tasks)
    nothing = (stated.do_nothing, None) if idle is None else idle
    again = compare_arms(settings, stated.benchmark_version, executed, nothing, stated.command, asked)
    unread = _OF_LATTICE if settings.lattice else frozenset()
    otherwise: dict[str, str] = {}
    lacks: set[str] = set()
    for found in _differences("", stated, again, unread | {"config", "one_off", *_STATED, *_LINES}):
        name, told = found.name, found.stated
        if told is _ABSENT:
            lacks.add(name.rpartition(".")[2])
            continue
        words = _word(_plain(told)), _word(_plain(found.computed))
        if not found.beside:
            raise BadInput(f"{folder}: {name} is {words[0]}, but its episodes say {words[1]}; run `fama compare` again")
        otherwise[name] = f"{words[0]} (computed here: {words[1]})"
    listed = _listed(stated, again, idle is None, world is None, unread)
    if lacks:
        listed["not stated, as computed here"] = ", ".join(sorted(lacks))
    return Verified(_as_stated(again, stated, bool(unread)), listed | otherwise)


def _helper_names(settings: CompareSettings, stated: Comparison) -> tuple[str, ...]:
    """Return the names of the pool's helpers; those of files and plug-ins need not be on this machine."""
    told = (tuple(arm.selection.f1) for arm in stated.arms if arm.selection is not None)
    return next((names for names in told if are_names_of(names, settings.helpers.pool)), settings.helpers.pool)


def _settings(folder: Path, stated: Comparison) -> CompareSettings:
    try:
        settings = CompareSettings.model_validate(stated.config)
    except ValidationError as error:
        raise BadInput(f"{folder}: config.{fault_of(error)}; run `fama compare` again") from None
    if settings.replay or settings.lambdas:
        raise BadInput(f"{folder}: config: replay or lambdas are set, but its episodes were run live; compare again")
    if [arm.model_dump(mode="json") for arm in settings.arms] != stated.config.get("arms"):
        raise BadInput(f"{folder}: config.arms: lacks fields that `fama compare` writes; run it again")
    try:
        check_questions(settings)
        _check_asked(stated)
    except BadInput as error:
        raise BadInput(f"{folder}: config.{error}; run `fama compare` again") from None
    for name in ("track", "bootstrap"):
        if getattr(stated, name) != getattr(settings, name):
            raise BadInput(
                f"{folder}: {name} is {getattr(stated, name)!r}, but its config says {getattr(settings, name)!r}; "
                "run `fama compare` again"
            )
    return settings


def _check_asked(stated: Comparison) -> None:
    """Refuse a question of the very tasks that are compared but of another number of them."""
    now = stated.task_set
    for one in stated.answers:
        if one.asked and one.asked.ids == now.ids and one.asked.tasks != now.tasks:
            raise BadInput(
                f"questions: {question(one)}: was asked of these tasks, but of {one.asked.tasks} instead of {now.tasks}"
            )


def _check_shape(folder: Path, stated: Comparison, settings: CompareSettings) -> None:
    """Refuse other arms than the config's, and tasks that are twice there or not as many as it asks for."""
    names = [arm.arm for arm in settings.arms]
    for where, found in (
        ("arms", [arm.arm for arm in stated.arms]),
        *((f"per_task {row.task_id}", list(row.arms)) for row in stated.per_task),
    ):
        if found != names:
            raise BadInput(
                f"{folder}: {where}: are {found}, but its config's arms are {names}; run `fama compare` again"
            )
    tasks = [row.task_id for row in stated.per_task]
    check_once(f"{folder}: per_task", tasks)
    wanted = settings.tasks
    if wanted != (len(tasks) if isinstance(wanted, int) else tuple(tasks)):
        raise BadInput(
            f"{folder}: per_task: holds {len(tasks)} tasks, not those of its config; run `fama compare` again"
        )


def _world(settings: CompareSettings, version: str) -> MixedDomains | None:
    """Return the benchmark; None where it is not installed, or here in another version."""
    try:
        world = load_benchmark(settings)
        return world if world.version(settings.domain) == version else None
    except FamaError:
        return None


def _idle(
    settings: CompareSettings, world: MixedDomains | None, tasks: tuple[str, ...]
) -> tuple[Interval, str | None] | None:
    """Return the do-nothing score; None where the benchmark is not here."""
    if world is None:
        return None
    thread = LoopThread("do-nothing")
    try:
        return thread.wait(do_nothing(settings, world, tasks))
    finally:
        thread.close()


def _checked(
    path: Path,
    stated: Comparison,
    settings_hash: str,
    plan: Mapping[str, Planned],
    cells: Mapping[str, str],
    world: MixedDomains | None,
) -> Iterator[Episode]:
    """Stream the planned episodes, each held against the comparison; every one must be there once."""
    seen: set[str] = set()
    for episode in read_episodes(path):
        if episode.id in cells and (episode.task_id, episode.backbone) != (cells[episode.id], stated.backbone):
            raise BadInput(f"{path}: episode {episode.id} is not of {cells[episode.id]} and {stated.backbone}")
        if episode.id in cells and episode.config_hash != settings_hash:
            raise BadInput(
                f"{path}: episode {episode.id} ran with the config {episode.config_hash}, but the comparison states "
                f"{settings_hash}; run `fama compare` again"
            )
        if episode.id not in plan:
            continue
        if episode.id in seen:
            raise BadInput(f"{path}: episode {episode.id} is there twice; keep the one that was run last")
        seen.add(episode.id)
        planned = plan[episode.id]
        for name, own, wanted in (
            ("config_hash", episode.config_hash, settings_hash),
            *((name, getattr(episode, name), getattr(stated, name)) for name in _SHARED),
            *_place(episode, stated, planned.task_id, world),
            ("task_id", episode.task_id, planned.task_id),
            ("trial", episode.trial, planned.trial),
            ("selector", episode.selector, planned.selector.arm),
        ):
            if own != wanted:
                raise BadInput(f"{path}: {name} of episode {episode.id} is {own!r}, but the comparison says {wanted!r}")
        yield episode
    for row in stated.per_task:
        for arm, cell in row.arms.items():
            for name in cell.episodes:
                if name not in seen:
                    raise BadInput(
                        f"{path}: episode {name} of arm {arm} on {row.task_id} is missing, or was run with other "
                        "settings than the comparison states; write both again"
                    )
    for id_, planned in plan.items():
        if id_ not in seen:
            raise BadInput(
                f"{path}: no episode of arm {planned.selector.arm} on {planned.task_id}, trial {planned.trial}, was "
                "run with the config that the comparison states; run `fama compare` again"
            )


def _place(
    episode: Episode, stated: Comparison, task: str, world: MixedDomains | None
) -> Iterator[tuple[str, str | None, str]]:
    """Yield domain and version of an episode with what they have to be: its own domain's, one of the comparison's.

    Without a ``world`` nothing says which of several domains a task is of.
    """
    domain, version = stated.domain, stated.benchmark_version
    if world is not None:
        domain = world.domain_of(stated.domain, task)
        version = world.version(domain)
    elif episode.domain in (parts := domains_of(stated.domain)) and len(parts) > 1:
        domain, own = episode.domain, episode.benchmark_version
        version = own if own and f"+{own}+" in f"+{version}+" else version
    yield "domain", episode.domain, domain
    yield "benchmark_version", episode.benchmark_version, version


def _as_stated(again: Comparison, stated: Comparison, unread: bool) -> Comparison:
    """Return the recomputed comparison with the fields that are stated only."""
    arms = [
        own.model_copy(update={"one_off": told.one_off, **({"selection": told.selection} if unread else {})})
        for own, told in zip(again.arms, stated.arms, strict=True)
    ]
    rows = [
        own.model_copy(update={"minimal": told.minimal, "oracle": told.oracle} if unread else {})
        for own, told in zip(again.per_task, stated.per_task, strict=True)
    ]
    kept = {name: getattr(stated, name) for name in (*_STATED, "config", *(["lattice"] if unread else []))}
    return again.model_copy(update={**kept, "arms": tuple(arms), "per_task": tuple(rows)})


def _listed(stated: Comparison, again: Comparison, idle: bool, absent: bool, unread: frozenset[str]) -> dict[str, str]:
    """Return what was taken as stated, by field."""
    listed: dict[str, Any] = {name: getattr(stated, name) for name in _STATED}
    files = {name: stated.config.get(name) for name in _FILES}
    how = {name: value for name, value in route_of(stated.config).items() if name not in ("tasks", "trials")}
    listed |= {"config": ", ".join(f"{name}={_word(value)}" for name, value in {**how, **files}.items())}
    for name in _LINES:
        computed = getattr(again, name)
        lines = [line.replace(*_REWORDED) for line in getattr(stated, name)]
        listed |= {name: list((Counter(lines) - Counter(computed)).elements())}
    listed |= _questions(stated)
    listed |= {f"arms.{arm.arm}.one_off": [part.model_dump(mode="json") for part in arm.one_off] for arm in stated.arms}
    if idle:
        listed["do_nothing"] = [stated.do_nothing.value, stated.do_nothing.low, stated.do_nothing.high]
    if absent:
        listed["tasks"] = f"those of {stated.split}: the benchmark was not loaded, or is not here in this version"
    if unread:
        told = stated.model_dump(mode="json")
        listed["lattice"] = told["lattice"]
        listed |= {f"arms.{arm['arm']}.selection": arm["selection"] for arm in told["arms"]}
        listed["per_task.minimal and oracle"] = [(row["minimal"], row["oracle"]) for row in told["per_task"]]
    return {name: _word(value) for name, value in listed.items() if value not in (None, "", [])}


def _questions(stated: Comparison) -> dict[str, list[str]]:
    """Return the questions, those that were first asked of other tasks or trials apart: no episode says of which."""
    before, apart = [], []
    for one in stated.answers:
        if other := other_tasks(one, stated.task_set):
            apart.append(f"{question(one)}: {other}")
        else:
            before.append(question(one) + (f", of these {size(one.asked)}" if one.asked else ""))
    return {"questions asked before the run": before, "questions asked of other tasks or trials": apart}


def _word(value: Any) -> str:
    """Return a value in words; a long one by its length and hash."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{len(text)} characters, hash {content_hash(value)}"


class _Difference(NamedTuple):
    """A field that differs, by the names on its way; ``beside`` where one of its fields is in no leaderboard."""

    name: str
    stated: Any
    computed: Any
    beside: bool


def _differences(
    name: str, stated: Any, computed: Any, unread: frozenset[str], beside: bool = False
) -> Iterator[_Difference]:
    """Yield the fields that differ by more than rounding, and those that the file lacks as ``_ABSENT``."""
    if isinstance(stated, Record) and type(stated) is type(computed):
        for key in sorted(type(stated).model_fields.keys() - unread):
            inner = f"{name}.{key}".lstrip(".")
            told = getattr(stated, key) if key in stated.model_fields_set else _ABSENT
            yield from _differences(inner, told, getattr(computed, key), unread, beside or key in _BESIDE)
    elif isinstance(stated, Interval) and isinstance(computed, Interval):
        for key, value in asdict(stated).items():
            told = _ABSENT if key == "n" and value is None else value
            yield from _differences(f"{name}.{key}", told, getattr(computed, key), unread, beside)
    elif isinstance(stated, dict) and isinstance(computed, dict) and stated.keys() == computed.keys():
        for key in stated:
            yield from _differences(f"{name}.{key}", stated[key], computed[key], unread, beside)
    elif isinstance(stated, tuple) and isinstance(computed, tuple) and len(stated) == len(computed):
        for index, (one, other) in enumerate(zip(stated, computed, strict=True)):
            part = getattr(other, "arm", None) or getattr(other, "task_id", index)
            yield from _differences(f"{name}.{part}", one, other, unread, beside)
    elif not (stated == computed or _close(stated, computed)):
        yield _Difference(name, stated, computed, beside)


def _close(stated: Any, computed: Any) -> bool:
    if not (isinstance(stated, int | float) and isinstance(computed, int | float)):
        return False
    return abs(stated - computed) <= _CLOSE * max(1.0, abs(stated), abs(computed))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return TypeAdapter(Any).dump_python(value, mode="json")
