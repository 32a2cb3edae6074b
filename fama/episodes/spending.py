"""Cost: its units, that of the rest of an episode, and the setup cost of an arm.

The setup cost is spent once, before an arm's first episode: outcome table, plain run, its diagnosis, training.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from fama.episodes.records import CHARGED, Episode, LedgerRow, Record, known_total, role_group, total_tokens

#: A unit of cost: all tokens, those of them that no cache held, or seconds of the calls.
CostUnit = Literal["tokens", "new_tokens", "seconds"]
#: Key of an outcome table's metadata: what its episodes took, also those without a row and those that were run again.
SPENT = "spent"
SpendingPart = Literal["outcome table", "plain run", "diagnosis", "prompted episodes", "mining", "training"]


class Remaining(Record):
    """Cost of an episode from a decision on: tokens, those of them that no cache held, and seconds of the calls.

    Agent, helpers and selection count. None is unknown.
    """

    tokens: int | None
    new_tokens: int | None
    seconds: float


def spent_from(ledger: Iterable[LedgerRow], turn: int = 0) -> Remaining:
    """Return what the charged calls of a ledger took from decision ``turn`` on."""
    rows = [row for row in ledger if role_group(row.role) in CHARGED and (row.turn or 0) >= turn]
    total = known_total(row.total_tokens for row in rows)
    return Remaining(tokens=total, new_tokens=new_tokens(rows), seconds=round(sum(row.seconds for row in rows), 3))


def new_tokens(rows: Sequence[LedgerRow]) -> int | None:
    """Return the tokens of calls that no cache held; None where a call does not say it."""
    total = known_total(row.total_tokens for row in rows)
    read = known_total(row.input_tokens for row in rows)
    cached = known_part(known_total(row.cached_input_tokens for row in rows), read)
    return None if total is None or cached is None else total - cached


def known_part(part: int | None, of: int | None) -> int | None:
    """Return a part of a count; None where one is unknown or the part is more than all."""
    return None if part is None or of is None or part > of else part


class Spent(Record):
    """One part of the setup cost.

    ``tokens`` are input and output of agent, helpers, selection and judges; None is unknown, never 0. ``seconds`` are
    summed over episodes or calls, as if one ran after the other. ``source`` names the file.
    """

    part: SpendingPart
    source: str
    tokens: int | None
    seconds: float | None


class Bill(NamedTuple):
    """Tokens and seconds of one episode; None is unknown."""

    tokens: int | None
    seconds: float | None


def bill_of(episode: Episode) -> Bill:
    """Return the cost of a logged episode.

    Tokens are unknown without a ledger; an own episode that ended in an error before its first call took none.
    """
    outcome = episode.outcome
    early = episode.source.importer == "fama" and outcome.status == "error" and outcome.boundary != "harness"
    return Bill(total_tokens(episode.ledger) if episode.ledger or early else None, episode.seconds)


def spent_on_episodes(part: SpendingPart, path: Path | str, episodes: Iterable[Episode]) -> Spent:
    """Return the cost of logged episodes."""
    return spent_on_bills(part, path, [bill_of(episode) for episode in episodes])


def spent_on_bills(part: SpendingPart, path: Path | str, bills: Sequence[Bill]) -> Spent:
    """Return the sum of bills, unknown where one is."""
    total = known_sum([bill.tokens for bill in bills])
    return Spent(
        part=part,
        source=str(path),
        tokens=None if total is None else int(total),
        seconds=known_sum([bill.seconds for bill in bills]),
    )


def spent_on_calls(part: SpendingPart, path: Path | str, rows: Sequence[LedgerRow]) -> Spent:
    """Return the cost of every call of a ledger, parsed or not."""
    return Spent(
        part=part,
        source=str(path),
        tokens=known_total(row.total_tokens for row in rows),
        seconds=round(sum(row.seconds for row in rows), 3),
    )


def unknown(part: SpendingPart, source: str) -> Spent:
    """Return a part whose cost is not recorded."""
    return Spent(part=part, source=source, tokens=None, seconds=None)


def known_sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None where one is unknown, or there is nothing to sum."""
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known and len(known) == len(values) else None
