"""The identity of a task and of an episode, the same for every record that names one."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TaskKey:
    """Identity of a task: an id is unique within a domain of a benchmark only.

    Benchmark and domain are None where a record does not say them, as some imported labels do not.
    """

    benchmark: str | None
    domain: str | None
    task_id: str

    def __str__(self) -> str:
        """Return the known parts joined by ``/``: the name that splits and clusters go by."""
        return "/".join(part for part in (self.benchmark, self.domain, self.task_id) if part is not None)


@dataclass(frozen=True, order=True)
class EpisodeKey:
    """Identity of an episode. ``selector`` is the arm's name in tables, empty where a record does not name the arm.

    ``variant`` is what else sets an imported arm apart: agent, user model, settings, or the file that is its own arm.
    """

    benchmark: str
    domain: str
    task_id: str
    trial: int
    backbone: str
    strategy: str
    selector: str = ""
    variant: str = ""

    @property
    def task(self) -> TaskKey:
        """Return the task of the episode."""
        return TaskKey(self.benchmark, self.domain, self.task_id)

    @property
    def pair(self) -> "EpisodeKey":
        """Return the key without the selector: equal for the episodes that a paired comparison of arms matches."""
        return replace(self, selector="")

    @property
    def stream(self) -> tuple[str, str, str, int]:
        """Return the name of the episode's random streams: neither backbone nor arm, so that arms are paired."""
        return (self.benchmark, self.domain, self.task_id, self.trial)
