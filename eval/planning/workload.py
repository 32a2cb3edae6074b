"""Means per episode of logged episodes of a benchmark: what a plan multiplies with its episodes."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fama.episodes.records import Record
from fama.intervals import Interval
from fama.settings import CompareSettings

ROOT = Path(__file__).resolve().parents[2]
#: What ``python -m eval.planning.collect`` wrote.
WORKLOADS = ROOT / "results" / "real-logs" / "workloads.json"


class TokenLoad(Record):
    """Tokens per episode of one role: ``read`` in all, ``fresh`` ones that no prefix cache holds, and ``written``.

    Fresh is what a request adds to the one before it in the episode, without the reply between them. The opening of
    the agent's request (policy and tools) is the same in every episode of a domain and never fresh.
    """

    read: Interval
    fresh: Interval
    written: Interval


class AskedHelper(Record):
    """A helper in form ``llm``, asked wherever its gate lets it.

    ``calls`` per episode; ``read`` is all that the calls read, ``question`` the part behind the agent's own request.
    """

    calls: Interval
    read: Interval
    question: Interval


class Workload(Record):
    """Workload of logged episodes of one domain, backbone and strategy, put into this package's own requests.

    Intervals are over tasks. ``selection`` is what one prompted selection (``one_call``) reads, ``opening`` policy and
    tools as the strategy shows them, ``longest`` the longest request. ``discordance`` is the share of pairs of trials
    of a task that end differently, None where no task has two.
    """

    benchmark: str
    domain: str
    backbone: str
    strategy: str
    episodes: int
    decisions: Interval
    agent: TokenLoad
    user: TokenLoad
    helpers: dict[str, AskedHelper]
    all_helpers: AskedHelper
    selection: Interval
    opening: int
    longest: int
    success: Interval
    discordance: Interval | None
    pairs: int


class Contrast(Record):
    """Two strategies of one backbone on the same tasks: how much their true difference varies between tasks.

    ``between`` is the variance of the per-task difference less what its trials explain, at least 0; ``discordance`` the
    share of pairs of trials, one of each, that end differently.
    """

    benchmark: str
    domain: str
    backbone: str
    strategies: tuple[str, str]
    tasks: int
    between: float
    discordance: float


class Workloads(Record):
    """Workloads and contrasts of logs that are not part of the project, so that their means are committed."""

    made: str
    commit: str | None
    command: str
    tokenizer: str
    versions: dict[str, str]
    workloads: tuple[Workload, ...]
    contrasts: tuple[Contrast, ...]


class Basis(NamedTuple):
    """The workload that stands for a comparison, and in what it differs from it; empty where in nothing."""

    workload: Workload
    differs: tuple[str, ...]

    @property
    def words(self) -> str:
        """Return whose episodes these are, in words."""
        one = self.workload
        other = f", another {' and '.join(self.differs)}" if self.differs else ""
        return f"{one.episodes} logged episodes of {one.backbone}, {one.strategy}{other}"


@cache
def read_workloads() -> Workloads:
    """Return the committed workloads."""
    return Workloads.model_validate_json(WORKLOADS.read_text(encoding="utf-8"))


def find_basis(settings: CompareSettings, workloads: Sequence[Workload]) -> Basis | None:
    """Return the workload of the settings' benchmark and domain that is nearest; None where none was logged.

    One of the same strategy goes before one of the same backbone; the file's order decides between equals.
    """
    here = [one for one in workloads if (one.benchmark, one.domain) == (settings.benchmark, settings.domain)]
    if not here:
        return None
    backbone = settings.model.name.rpartition("/")[2].casefold()

    def differs(one: Workload) -> tuple[str, ...]:
        pairs = (("strategy", one.strategy, settings.strategy), ("backbone", one.backbone.casefold(), backbone))
        return tuple(name for name, logged, wanted in pairs if logged != wanted)

    def distance(one: Workload) -> int:
        return sum(2 if name == "strategy" else 1 for name in differs(one))

    nearest = min(here, key=distance)
    return Basis(nearest, differs(nearest))
