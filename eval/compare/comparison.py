"""The comparison: arms on the same tasks, trials and seeds, live or replayed."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from eval.collect.do_nothing import do_nothing
from eval.compare.arm_replay import check_replayable, replay_arm, select_rows, unheld_limits
from eval.compare.arms import build_arms, check_inputs, plan_arms, read_task_labels, write_inputs
from eval.compare.executed import Executed, read_executed
from eval.compare.lazy_models import UnconnectedModel, lazy_helper_model
from eval.compare.questions import AskedTasks, check_kept, check_questions, first_asked, written_asked
from eval.compare.results import compare_arms
from eval.compare.rows import cells_of, comparable_rows
from eval.compare.schema import COMPARISON_VERSION, Comparison
from eval.compare.setup_cost import setup_costs
from eval.compare.stale_inputs import stale_inputs
from eval.compare.sweep import ORACLE, other_units, sweep_lambda, swept_part
from eval.compare.task_sets import learned_from, outside_split, task_splits
from eval.metrics.episode_scores import Score
from eval.metrics.selection_quality import ExecutedSubset
from fama.agents.runs.plan import episode_id, load_benchmark, select_tasks
from fama.agents.runs.run_config import COMPARISON, FREE, config_hash, provenance, run_prompts, write_config
from fama.agents.runs.runner import run_planned
from fama.config import first_fault
from fama.envs.mixed import MixedDomains
from fama.episodes.outcome_table import read_outcomes
from fama.episodes.records import Failure
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput
from fama.files import write_atomically
from fama.helpers.base import Helper
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel
from fama.selection.health import SelectorHealth
from fama.settings import CompareSettings
from fama.text.json_numbers import RepeatedKey, check_keys

#: settings that may differ when a comparison goes on: which arms, how many draws, files whose content is checked
MAY_CHANGE = FREE | {"arms", "questions", "bootstrap", "lambdas", "outcomes", "failures", "lattice"}


async def run_comparison(
    settings: CompareSettings,
    out: Path,
    *,
    command: str = "",
    model: ChatModel | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Run or replay what is missing and write ``comparison.json`` into ``out``.

    Raises:
        BadInput: arms of the other track, unknown names, changed settings or inputs, an unusable table.
        FamaError: the model cannot be reached.
    """
    before = check_comparable(settings, out)
    world = MixedDomains(load_benchmark(settings))
    if settings.replay:
        executed = await _replayed(settings, out, world, model, before)
    else:
        executed = await _live(settings, out, world, model, progress, before)
    nothing = await do_nothing(settings, world, executed.tasks)
    asked = first_asked(settings, before, executed.tasks)
    comparison = compare_arms(settings, world.version(settings.domain), executed, nothing, command, asked)
    of_inputs = (
        *outside_split(settings, world, executed.tasks),
        *learned_from(settings, executed.tasks),
        *stale_inputs(settings),
        *unheld_limits(settings),
        *other_units(settings),
        *swept_part(settings, comparison.curves, executed.scores, comparison.tasks),
    )
    comparison = comparison.model_copy(update={"warnings": (*comparison.warnings, *of_inputs)})
    write_atomically(out / COMPARISON, comparison.model_dump_json(indent=1) + "\n")
    return comparison


def check_comparable(settings: CompareSettings, out: Path) -> AskedTasks:
    """Return the questions asked in this folder so far; refuse settings that contradict each other or the folder.

    Raises:
        BadInput: names the setting.
    """
    if settings.lambdas and not settings.replay:
        raise BadInput(
            "lambdas: curves are replayed from executed subsets; set replay to an outcome table of the tasks"
        )
    if settings.lambdas and ORACLE in (arm.arm for arm in settings.arms):
        raise BadInput(f"arms: {ORACLE!r} is the name of a curve of its own; give the arm another label")
    if settings.replay:
        check_replayable(settings)
    check_questions(settings)
    return check_kept(settings, out)


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison that a folder (or file) holds.

    Raises:
        BadInput: there is none, it is of another version, or it names an arm that it does not hold.
    """
    from pydantic import ValidationError

    path = folder / COMPARISON if folder.is_dir() else folder
    if not path.is_file():
        raise BadInput(f"{path}: does not exist; write it with `fama compare --config F --out {folder}`")
    try:
        text = path.read_bytes()
        comparison = Comparison.model_validate_json(text)
        check_keys(text)
    except RepeatedKey as error:
        raise BadInput(f"{path}: {error}; run `fama compare` again with the same --out") from None
    except ValidationError as error:
        raise BadInput(f"{path}: {first_fault(error)}; run `fama compare` again with the same --out") from None
    if comparison.schema_version != COMPARISON_VERSION:
        raise BadInput(
            f"{path}: schema_version: is {comparison.schema_version}, this release reads {COMPARISON_VERSION}; run "
            "`fama compare` again with the same --out"
        )
    arms = [arm.arm for arm in comparison.arms]
    for place, arm in comparison.named_arms():
        if arm not in arms:
            raise BadInput(
                f"{path}: {place}: {arm!r} is none of its arms, {', '.join(arms) or 'of which there are none'}; run "
                "`fama compare` again with the same --out"
            )
    return comparison


def check_arms(settings: CompareSettings) -> tuple[dict[str, Helper], dict[str, Failure] | None]:
    """Build every arm without a model; the pool of helpers and the labels that the arms may see.

    Raises:
        BadInput: an arm, a helper, a checkpoint, a table, a label file or a question that cannot be used.
    """
    check_questions(settings)
    failures = read_task_labels(settings)
    helpers = build_pool(settings.helpers)
    build_arms(settings, helpers, UnconnectedModel(settings.model.name), failures)
    return helpers, failures


async def _live(
    settings: CompareSettings,
    out: Path,
    world: MixedDomains,
    model: ChatModel | None,
    progress: bool | None,
    before: AskedTasks,
) -> Executed:
    tasks = select_tasks(settings, world)
    helpers, failures = check_arms(settings)
    if model is None:
        from fama.models.connect import recorded_name

        backbone = recorded_name(settings.model)
    else:
        backbone = model.name
    cells = read_grid(settings, world.versions(settings.domain), tasks, backbone)
    inputs = check_inputs(settings, out)
    plan = plan_arms(settings, tasks)
    await run_planned(
        settings,
        plan,
        out,
        benchmark=world,
        model=model,
        failures=failures,
        outcomes=settings.outcomes,
        progress=progress,
        may_change=MAY_CHANGE,
        beside=written_asked(first_asked(settings, before, tasks)),
        opening=lambda: write_inputs(out, inputs),
    )
    write_inputs(out, inputs)
    settings_hash = config_hash(settings)
    arms = {episode_id(planned, settings_hash): planned.selector.arm for planned in plan}
    return read_executed(settings, tasks, helpers, arms, read_episodes(out), cells, setup_costs(settings))


async def _replayed(
    settings: CompareSettings, out: Path, world: MixedDomains, model: ChatModel | None, before: AskedTasks
) -> Executed:
    path = str(settings.replay)
    store = EpisodeStore(out)
    store.refuse_packed()
    if store.path.exists():
        raise BadInput(f"{out}: holds episodes that were run live; give another folder with --out to replay into")
    rows = read_outcomes(path, world.versions(settings.domain))
    table = select_rows(rows, settings, path, task_splits(settings, world))
    cells = read_grid(settings, world.versions(settings.domain), table.tasks, table.backbone)
    helpers = build_pool(settings.helpers)
    failures = read_task_labels(settings)
    scores: dict[str, list[Score]] = {}
    choices: dict[str, list[tuple[str, str | None]]] = {}
    missing: dict[str, int] = {}
    health: dict[str, SelectorHealth] = {}
    async with AsyncExitStack() as stack:
        asked = model or lazy_helper_model(settings, stack)
        selectors = build_arms(settings, helpers, asked, failures)
        for arm, selector in selectors.items():
            done = await replay_arm(arm, selector, table, settings, helpers)
            scores[arm], choices[arm], missing[arm] = list(done.scores), list(done.choices), done.missing
            health[arm] = done.health
        curves = await sweep_lambda(settings, table, selectors, scores, helpers) if settings.lambdas else ()
    content = provenance(settings, world.version(settings.domain), run_prompts(settings))
    write_config(out, content | written_asked(first_asked(settings, before, table.tasks)))
    return Executed(
        tasks=table.tasks,
        pool=tuple(helpers),
        backbone=table.backbone,
        scores=scores,
        choices=choices,
        missing=missing,
        health=health,
        curves=curves,
        cells=cells if cells is not None else cells_of(table.rows),
        lattice_source=settings.lattice or path,
        setup_costs=setup_costs(settings),
    )


def read_grid(
    settings: CompareSettings, versions: Mapping[str, str], tasks: tuple[str, ...], backbone: str
) -> list[ExecutedSubset] | None:
    """Return the executed subsets of the named subset grid; None where none is named.

    Raises:
        BadInput: it has no episode of these tasks, this strategy and this backbone.
    """
    path = settings.lattice
    if not path:
        return None
    wanted = set(tasks)
    rows = comparable_rows(read_outcomes(path, versions), settings, path, backbone)
    cells = cells_of([row for row in rows if row.task_id in wanted])
    if not cells:
        raise BadInput(f"{path}: no finished episode of the compared tasks; leave lattice out, or name a table of them")
    return cells
