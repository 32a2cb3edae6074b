"""The mined folder: its settings, checks that it can be replayed here, and the episodes to mine."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fama.agents.runs.plan import load_benchmark
from fama.agents.runs.run_config import CONFIG, read_config, settings_from
from fama.agents.strategies.base import STRATEGIES
from fama.envs.base import Benchmark
from fama.envs.mixed import MixedDomains
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.mining.records import EpisodeKind, episode_kind, split_of
from fama.mining.settings import MineSettings
from fama.prompts import prompt_hash
from fama.randomness import generator
from fama.settings import BudgetSettings, RunSettings, SelectorSettings


@dataclass(frozen=True)
class MiningSource:
    """A folder of episodes with the experiment that wrote it.

    ``settings`` are those of every execution; their selector is what is intervened on, ``none`` for the plain agent.
    """

    folder: Path
    settings: RunSettings
    benchmark: Benchmark
    config_hash: str

    def split_of(self, task_id: str) -> str | None:
        """Return the split that lists a task of the domain; ``test`` wins, None where none does."""
        domain = self.settings.domain
        return split_of(
            task_id, [(name, self.benchmark.task_ids(domain, name)) for name in self.benchmark.splits(domain)]
        )


@dataclass(frozen=True)
class MinedEpisodes:
    """The episodes to mine, failed ones first; ``refused`` are lines about those that cannot be.

    ``eligible`` counts those that could be mined, by kind and split, of which ``episodes`` may be a part.
    """

    episodes: tuple[Episode, ...]
    refused: tuple[str, ...]
    eligible: Mapping[tuple[EpisodeKind, str | None], int]


def open_source(folder: Path, mine: MineSettings, out: Path) -> MiningSource:
    """Read the settings of a mined folder and lay those of mining over them.

    Raises:
        BadInput: it is no folder of a run, was run with another version of the benchmark or of the agent's prompt, or
            cannot be replayed with these settings.
    """
    config = read_config(folder)
    try:
        run = settings_from(config["settings"], RunSettings)
        version, prompts = str(config["benchmark_version"]), dict(config["prompts"])
        hashed = str(config["config_hash"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadInput(
            f"{folder / CONFIG}: not the settings of a run of this version; run the episodes again"
        ) from None
    benchmark = load_benchmark(run)
    _check_version(folder, benchmark.version(run.domain), version, run.strategy, prompts)
    if mine.continuations > 1 and run.model.temperature == 0:
        raise BadInput(
            f"continuations: {mine.continuations} of a backbone at temperature 0 are one and the same; set it to 1"
        )
    if mine.base == "selector" and (
        (run.selector.cadence or run.cadence) != "turn" or "selector" not in config["settings"]
    ):
        raise BadInput(
            f"{folder}: base selector needs the folder of a `fama run` with cadence=turn; run it so, or set base=none"
        )
    model = mine.model.over(run.model)
    settings = run.model_copy(
        update={
            "model": model if model.cache else model.model_copy(update={"cache": str(out / "cache")}),
            "helpers": mine.helpers or run.helpers,
            "helper_model": mine.helper_model or run.helper_model,
            "user_model": None if mine.user == "recorded_only" else run.user_model,
            "cadence": "turn",
            "selector": run.selector if mine.base == "selector" else SelectorSettings(),
            # an arm keeps its limits in every branch; what other episodes took from the run's is not replayed
            "budget": run.budget.model_copy(update={"run": None}) if mine.base == "selector" else BudgetSettings(),
        }
    )
    return MiningSource(folder, settings, benchmark, hashed)


def choose_episodes(source: MiningSource, mine: MineSettings) -> MinedEpisodes:
    """Return the failed episodes, or as many drawn at random as are wanted, and a sample of the solved ones.

    Those that ended in an error are passed over; so are episodes of arms with helpers, unless these are mined.

    Raises:
        BadInput: there is nothing to mine, or no episode of a task that is named.
    """
    failed: list[Episode] = []
    solved: list[Episode] = []
    refused: list[str] = []
    versions = MixedDomains(source.benchmark).versions(source.settings.domain)
    missing = dict.fromkeys(mine.tasks or ())
    for episode in read_episodes(source.folder):
        missing.pop(episode.task_id, None)
        if episode.outcome.status == "error" or (mine.base == "none" and _helped(episode)):
            continue
        if mine.tasks is not None and episode.task_id not in mine.tasks:
            continue
        fault = _fault(episode, versions.get(episode.domain)) or (_drawn(episode) if mine.base == "selector" else None)
        if fault is not None:
            refused.append(refusal_line(episode, fault))
        else:
            (solved if episode.outcome.status == "success" else failed).append(episode)
    if not failed and not solved and not refused:
        raise BadInput(
            f"{source.folder}: no finished episode{'' if mine.base == 'selector' else ' of the plain agent'}"
            f"{' of these tasks' if mine.tasks else ''}; give the folder of a run"
            f"{'' if mine.base == 'selector' else ' with selector none'}"
        )
    if missing:
        raise BadInput(f"{source.folder}: tasks: holds no episode of {next(iter(missing))!r}; leave it out, or run it")
    generator(mine.seed, "mining.solved").shuffle(solved)
    if mine.failures is not None:
        generator(mine.seed, "mining.failed").shuffle(failed)
    eligible = Counter((episode_kind(episode), source.split_of(episode.task_id)) for episode in (*failed, *solved))
    return MinedEpisodes((*failed[: mine.failures], *solved[: mine.solved]), tuple(refused), eligible)


class Refusal(NamedTuple):
    """The line about an episode that was not mined; ``passing`` if no model answered, or a worker was lost."""

    line: str
    passing: bool


def refusal_line(episode: Episode, fault: str) -> str:
    """Return the line about an episode that cannot be mined."""
    return f"{episode.domain}/{episode.task_id}, trial {episode.trial} ({episode.id}): not mined: {fault}"


def _check_version(folder: Path, here: str, there: str, strategy: str, prompts: Mapping[str, str]) -> None:
    if here != there:
        raise BadInput(f"{folder}: episodes of benchmark version {there}, here is {here}; run the plain agent again")
    template = STRATEGIES.load(strategy).template
    if prompts.get(template) != prompt_hash(template):
        raise BadInput(f"{folder}: the prompt {template} has changed since the run; run the plain agent again")


def _helped(episode: Episode) -> bool:
    return any(decision.subset or decision.notes for decision in episode.decisions)


def _fault(episode: Episode, version: str | None) -> str | None:
    if not {"environment", "model", "selector"} <= episode.seeds.keys() or not episode.decisions:
        return "no seeds or decisions in the log, as of an imported episode; run the task with `fama run`"
    if episode.benchmark_version != version:
        return f"of benchmark version {episode.benchmark_version}, here is {version}; run the task again"
    return None


def _drawn(episode: Episode) -> str | None:
    chances = {decision.propensity for decision in episode.decisions} - {None, 1.0}
    return "its selector draws at random, so nothing tells what it would do after a note" if chances else None
