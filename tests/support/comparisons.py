"""Comparisons of hand-built episodes, and live ones of the toy world."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.collect.outcomes import run_outcomes
from eval.compare.comparison import run_comparison
from eval.compare.executed import Executed
from eval.compare.results import compare_arms
from eval.compare.schema import Comparison
from eval.metrics.episode_scores import score_of
from fama.episodes.records import Episode
from fama.intervals import Interval
from fama.selection.health import HealthTally, SelectorHealth
from fama.settings import CompareSettings
from tests.support.toy_world import compare_settings, outcomes_settings

ALPHA = {"name": "fixed", "label": "alpha", "options": {"subset": ["Alpha"]}}
ARMS: list[dict[str, Any]] = [{"name": "none"}, {"name": "all"}, ALPHA]
IDLE = Interval(0.0, 0.0, 0.2, 10)


def comparison(episodes: dict[str, list[Episode]], nothing: tuple[Interval, str | None] = (IDLE, None)) -> Comparison:
    scores = {arm: [score_of(episode) for episode in group] for arm, group in episodes.items()}
    tasks = tuple(dict.fromkeys(score.task_id for group in scores.values() for score in group))
    settings = CompareSettings.model_validate(
        {"benchmark": "toy", "arms": [{"name": arm} for arm in episodes], "bootstrap": 200}
    )
    choices = {arm: [(s.task_id, s.subset if s.chosen else None) for s in group] for arm, group in scores.items()}
    executed = Executed(tasks, ("DCE", "TSA"), "m", scores, choices, [], "nowhere", health=health_of(episodes))
    return compare_arms(settings, "toy-1", executed, nothing, "fama compare --out <x>")


def health_of(episodes: dict[str, list[Episode]]) -> dict[str, SelectorHealth]:
    """The health of each arm's selector."""
    found = {}
    for arm, group in episodes.items():
        tally = HealthTally()
        for episode in group:
            tally.add(episode)
        found[arm] = tally.health()
    return found


async def live(out: Path, **changes: Any) -> Comparison:
    settings = compare_settings(**{"arms": ARMS, "bootstrap": 200, **changes})
    return await run_comparison(settings, out, command="fama compare", progress=False)


async def table(folder: Path, **changes: Any) -> Path:
    settings = outcomes_settings(**{"per_task": 4, "subsets": [[], ["Alpha"], ["Beta"], ["Alpha", "Beta"]], **changes})
    return (await run_outcomes(settings, folder, command="fama outcomes", progress=False)).path


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    """Change what a JSON file holds."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")
