"""Summary of a run in counts and means: ``summary.json``. Intervals are the scoring command's."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from pydantic import Field

from fama.episodes.records import CHARGED, SCHEMA_VERSION, Episode, Record, known_total, role_group
from fama.episodes.spending import known_sum
from fama.selection.health import HealthTally, SelectorHealth


class ArmSummary(Record):
    """Counts of one arm. Rates and means leave errors out; None where nothing is left."""

    episodes: int = 0
    status: dict[str, int] = Field(default_factory=dict)
    success_rate: float | None = None
    tokens: dict[str, float | None] = Field(default_factory=dict)
    """Mean tokens per episode by role (``helper:TSA`` apart from ``helper:DCE``), ``total`` as an arm is charged,
    ``cached`` the part of the agent's input that the server had at hand, ``notes`` what the agent read of helpers."""
    decisions: float | None = None
    seconds: float | None = None
    parse_failures: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    """Ends of episodes: reasons of the finished ones, ``error:<boundary>`` of the others."""
    health: SelectorHealth | None = None
    """Health of the selector; None in summaries that do not have it."""
    cut: int | None = None
    """Decisions at which the budget left chosen helpers out; None in summaries that do not say it."""


class RunSummary(Record):
    """Counts of a folder of episodes. ``planned`` counts the episodes that were asked for."""

    schema_version: int = SCHEMA_VERSION
    planned: int = 0
    overall: ArmSummary = ArmSummary()
    arms: dict[str, ArmSummary] = Field(default_factory=dict)
    config_hash: str | None = None
    package_version: str | None = None
    git_commit: str | None = None


class Tally:
    """Sums over episodes, one at a time."""

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.finished = 0
        self._tokens: defaultdict[str, int | None] = defaultdict(int)
        self._reasons: Counter[str] = Counter()
        self._decisions = 0
        self._seconds: float | None = 0.0
        self._parse_failures = 0
        self._cut = 0
        self._health = HealthTally()

    def add(self, episode: Episode) -> None:
        """Count an episode."""
        outcome = episode.outcome
        self.status[outcome.status] += 1
        self._health.add(episode)
        self._cut += sum(bool(decision.dropped) for decision in episode.decisions)
        self._parse_failures += sum(not row.parsed for row in episode.ledger if row.role == "agent")
        if outcome.status == "error":
            self._reasons[f"error:{outcome.boundary}"] += 1
            return
        self.finished += 1
        self._reasons[outcome.reason] += 1
        self._decisions += len(episode.decisions)
        self._seconds = known_sum((self._seconds, episode.seconds))
        for row in episode.ledger:
            self._count(row.role, row.total_tokens)
            if role_group(row.role) in CHARGED:
                self._count("total", row.total_tokens)
            if row.role == "agent":
                self._count("cached", row.cached_input_tokens)
        self._count("notes", sum(note.tokens for d in episode.decisions for note in d.notes))

    def _count(self, what: str, tokens: int | None) -> None:
        self._tokens[what] = known_total((self._tokens[what], tokens))

    @property
    def success_rate(self) -> float | None:
        """Successes over finished episodes, errors left out."""
        return self.status["success"] / self.finished if self.finished else None

    def mean(self, role: str = "total") -> float | None:
        """Return the mean tokens per finished episode; None where those of a call are unknown."""
        total = self._tokens[role]
        return total / self.finished if self.finished and total is not None else None

    def summary(self) -> ArmSummary:
        """Return the sums as a record."""
        n = self.finished
        return ArmSummary(
            episodes=sum(self.status.values()),
            status=dict(self.status),
            success_rate=self.success_rate,
            tokens={
                role: None if total is None else round(total / n, 1) for role, total in sorted(self._tokens.items())
            }
            if n
            else {},
            decisions=round(self._decisions / n, 2) if n else None,
            seconds=round(self._seconds / n, 2) if n and self._seconds is not None else None,
            parse_failures=self._parse_failures,
            reasons=dict(sorted(self._reasons.items())),
            health=self._health.health(),
            cut=self._cut,
        )


def summarise_run(episodes: Iterable[Episode], planned: int = 0, **about: str | None) -> RunSummary:
    """Count a stream of episodes, overall and by arm."""
    overall = Tally()
    arms: defaultdict[str, Tally] = defaultdict(Tally)
    for episode in episodes:
        overall.add(episode)
        arms[episode.selector or ""].add(episode)
    return RunSummary(
        planned=planned,
        overall=overall.summary(),
        arms={name: tally.summary() for name, tally in arms.items()},
        config_hash=about.get("config_hash"),
        package_version=about.get("package_version"),
        git_commit=about.get("git_commit"),
    )
