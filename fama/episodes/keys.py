"""The identity of a task and of an episode, the same for every record that names one."""

from dataclasses import dataclass, replace

#: Domains of which logs of τ-bench and of τ-trait look alike.
_OF_TAU_BENCH = ("airline", "retail")
#: Manners of a user that τ-trait puts behind a domain's name.
TRAITS = ("skeptical", "confusion", "impatience", "incoherence")


@dataclass(frozen=True)
class TaskKey:
    """Identity of a task: an id is unique within a domain of a benchmark only.

    Benchmark and domain are None where a record does not say them, as some imported labels do not.
    """

    benchmark: str | None
    domain: str | None
    task_id: str

    def __str__(self) -> str:
        """Return the known parts joined by ``/``: the name that clusters go by."""
        return "/".join(part for part in (self.benchmark, self.domain, self.task_id) if part is not None)

    @property
    def canonical(self) -> "TaskKey":
        """Return the key that all runs and logs of one task share: splits, and what is learned from, go by it.

        A benchmark may have another name in its logs than where it is run (``tau_bench``, ``tau-bench``). Domains of
        τ-trait with a trait are the tasks without it, those of airline and retail are named as τ-bench's; a log of
        ACEBench has its language in the benchmark's name, a run in the domain's.
        """
        name, domain = (self.benchmark or "").replace("_", "-"), self.domain
        if domain is None:
            return self
        if name in ("tau-bench", "tau-trait"):
            plain, _, trait = domain.rpartition("-")
            domain = plain if plain and trait in TRAITS else domain
            return TaskKey("tau-bench" if domain in _OF_TAU_BENCH else name, domain, self.task_id)
        if name in ("acebench-en", "acebench-zh"):
            return TaskKey("acebench", domain + ("-zh" if name.endswith("-zh") else ""), self.task_id)
        return self


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
