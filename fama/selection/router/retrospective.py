"""The input of a retrospective router: the plain agent's own failed episode of a task."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.records import Episode
from fama.episodes.state import state_after
from fama.selection.router.features import Features, featurise

#: A task and a backbone: a failure of another model is not this one's.
FailedTask = tuple[TaskKey, str]


def without_helpers(episodes: Iterable[Episode]) -> Iterator[Episode]:
    """Filter the episodes of the plain agent, in which no decision had a helper."""
    return (episode for episode in episodes if not any(decision.subset for decision in episode.decisions))


def failed_features(episodes: Iterable[Episode]) -> dict[FailedTask, Features]:
    """Return the whole failed episode of each task that an agent without helpers failed, of its first failed trial.

    Episodes in which a helper was chosen are passed over, so that any log may be given; so are successes and
    errors. Neither outcome nor reward nor reference actions are among the features.
    """
    first: dict[FailedTask, Episode] = {}
    for episode in without_helpers(episodes):
        if episode.outcome.status != "failure":
            continue
        task = failed_task(episode.key)
        if task not in first or episode.trial < first[task].trial:
            first[task] = episode
    return {task: featurise(state_after(episode)) for task, episode in first.items()}


def failed_task(key: EpisodeKey) -> FailedTask:
    """Return the task of an episode, as ``failed_features`` names it: the same in runs and in logs of a benchmark.

    A user's trait stays, since with another one the plain agent's episode is another.
    """
    task, own = key.task.canonical, key.task.domain
    same = own is None or task.domain is None or not own.startswith(f"{task.domain}-")
    return (task if same else replace(task, domain=own), key.backbone)
