"""Outcome tables: success and tokens of every (task, trial, helper subset) that was executed."""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fama.episodes.keys import EpisodeKey
from fama.episodes.record_faults import fault_of
from fama.episodes.records import CHARGED, Episode, Record, Status, known_total, role_group, total_tokens
from fama.episodes.spending import SPENT, CostUnit, Spent, known_part, known_sum
from fama.episodes.state import state_after, state_at, state_to_json
from fama.errors import BadInput, Missing
from fama.files import replacing
from fama.hashing import content_hash
from fama.redaction import redact, redact_tree
from fama.subsets import POOL, Subset, join_subset, split_label

log = logging.getLogger(__name__)

TABLE_VERSION = 1
_METADATA_KEY = b"fama"
_INTEGERS = (
    *("trial", "tokens", "tokens_agent", "tokens_helper", "tokens_selector"),
    *("tokens_cached", "output_tokens", "decisions"),
)


class OutcomeRow(Record):
    """One executed cell of the table.

    ``subset`` and ``pool`` are helper names joined by ``+`` in pool order, empty for no helper.
    ``propensity`` is the probability with which the subset was drawn, None if unknown. ``success``
    is None where ``status`` is ``error``. ``tokens`` is agent + helper + selector tokens;
    ``tokens_cached`` and ``output_tokens`` are parts of it, the cached ones None where unknown. ``state`` is the
    visible state at decision 0 as ``fama.episodes.state.state_to_json`` writes it.
    """

    episode_id: str
    benchmark: str
    benchmark_version: str | None
    domain: str
    task_id: str
    trial: int
    backbone: str
    strategy: str
    subset: str
    propensity: float | None
    status: Status
    success: bool | None
    reward: float | None
    tokens: int
    tokens_agent: int
    tokens_helper: int
    tokens_selector: int
    tokens_cached: int | None
    output_tokens: int
    decisions: int
    seconds: float | None
    pool: str
    prompts_hash: str
    state: str

    @property
    def key(self) -> EpisodeKey:
        """Return the identity of the episode but for its arm: a cell is a key and a subset."""
        return EpisodeKey(self.benchmark, self.domain, self.task_id, self.trial, self.backbone, self.strategy)

    def cost(self, unit: CostUnit = "tokens") -> float | None:
        """Return the cost of the episode; None where it is unknown, as tokens are where no call was billed."""
        if unit == "seconds":
            return self.seconds
        if self.tokens <= 0:
            return None
        if unit == "tokens":
            return float(self.tokens)
        cached = known_part(self.tokens_cached, self.tokens - self.output_tokens)
        return None if cached is None else float(self.tokens - cached)


def episodes_to_rows(
    episodes: Iterable[Episode], pool: Sequence[str] = POOL, drawn: Mapping[str, float] | None = None
) -> list[OutcomeRow]:
    """Return rows of the episodes whose selector held one subset for the whole episode.

    Episodes without decisions (imported, or failed before the first one) and episodes whose
    selection changed on the way have no cell in the table and are left out, and so are, with a warning, those that a
    budget left with other helpers at some decisions, and those whose server reported no token counts.

    ``drawn`` are the propensities of a design's subsets by arm, the subset's label. An error at the first decision then
    has a row, since the arm says which subset was tried; one before the user spoke has no state, and so none.
    """
    rows: list[OutcomeRow] = []
    unknown = cut = 0
    for episode in episodes:
        if total_tokens(episode.ledger) is None:
            unknown += 1
        elif (row := _row(episode, pool, drawn or {})) is not None:
            rows.append(row)
        else:
            cut += any(decision.dropped for decision in episode.decisions)
    if cut:
        log.warning(
            "%d episodes have no row in the outcome table: the budget left helpers out at some of their decisions, so "
            "that no one subset was executed; these are the longer ones, and rates without them are too high: raise "
            "the budget",
            cut,
        )
    if unknown:
        log.warning(
            "%d episodes have no row in the outcome table: their server reported no token counts, and a table without "
            "costs cannot be learned from; switch usage on at the server",
            unknown,
        )
    return rows


def _row(episode: Episode, pool: Sequence[str], drawn: Mapping[str, float]) -> OutcomeRow | None:
    tried = _tried(episode, drawn)
    if tried is None:
        return None
    subset, propensity = tried
    charged = [row for row in episode.ledger if role_group(row.role) in CHARGED]
    status = episode.outcome.status
    return OutcomeRow(
        episode_id=episode.id,
        benchmark=episode.benchmark,
        benchmark_version=episode.benchmark_version,
        domain=episode.domain,
        task_id=episode.task_id,
        trial=episode.trial,
        backbone=episode.backbone or "",
        strategy=episode.strategy or "",
        subset=join_subset(subset),
        propensity=propensity,
        status=status,
        success=None if status == "error" else status == "success",
        reward=episode.reward,
        tokens=total_tokens(episode.ledger) or 0,
        tokens_agent=total_tokens(episode.ledger, "agent") or 0,
        tokens_helper=total_tokens(episode.ledger, "helper") or 0,
        tokens_selector=total_tokens(episode.ledger, "selector") or 0,
        tokens_cached=known_total(row.cached_input_tokens for row in charged),
        output_tokens=sum(row.output_tokens or 0 for row in charged),
        decisions=len(episode.decisions),
        seconds=episode.seconds,
        pool=join_subset(pool),
        prompts_hash=content_hash(episode.prompt_hashes),
        state=state_to_json(state_at(episode, 0) if episode.decisions else state_after(episode)),
    )


def _tried(episode: Episode, drawn: Mapping[str, float]) -> tuple[Subset, float | None] | None:
    """Return the one subset of an episode and its propensity; None where it held none throughout."""
    if not episode.decisions:
        arm, begun = episode.selector or "", any(message.role == "user" for message in episode.messages)
        known = episode.outcome.status == "error" and begun and arm in drawn
        return (split_label(arm), drawn[arm]) if known else None
    if len({(frozenset(d.subset), frozenset(d.dropped)) for d in episode.decisions}) > 1:
        return None
    first = episode.decisions[0]
    return first.subset, None if first.dropped else first.propensity


def write_outcomes(path: Path | str, rows: Sequence[OutcomeRow], metadata: Mapping[str, Any]) -> None:
    """Write a parquet file, whole or not at all.

    ``metadata`` (JSON-able: config, command, commit, …) goes into the file's schema; the table
    version and the benchmark versions of the rows are added to it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    versions = sorted({row.benchmark_version or "" for row in rows})
    note = {"table_version": TABLE_VERSION, "benchmark_version": "+".join(versions), "rows": len(rows), **metadata}
    schema = _schema(pa).with_metadata({_METADATA_KEY: redact(json.dumps(note, default=str)).encode()})
    table = pa.Table.from_pylist([redact_tree(row.model_dump()) for row in rows], schema=schema)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_outcomes(path: Path | str, benchmark_version: str | Mapping[str, str] | None = None) -> list[OutcomeRow]:
    """Return the rows of an outcome table.

    A version by domain is asked of the rows of these domains only.

    Raises:
        BadInput: the file is missing or no outcome table, or it holds another benchmark version
            than the one given.
    """
    table = _read(Path(path))
    names = table.column_names
    try:
        rows = [
            OutcomeRow.model_validate(dict(zip(names, values, strict=True)))
            for values in zip(*map(_values, table.columns), strict=True)
        ]
    except ValidationError as error:
        raise BadInput(f"{path}: no outcome table: {fault_of(error)}; write it again") from None
    _check_numbers(path, rows)
    if benchmark_version is not None:
        wanted = {"": benchmark_version} if isinstance(benchmark_version, str) else benchmark_version
        if others := _other_versions(rows, wanted):
            raise BadInput(
                f"{path}: benchmark_version is {', '.join(others)}, but these settings ask for "
                f"{', '.join(dict.fromkeys(wanted.values()))}; "
                "set options to the table's, run `fama outcomes` with these settings, or use the release that wrote it"
            )
    return rows


def warn_of_errors(path: Path | str, rows: Sequence[OutcomeRow], selector: str) -> None:
    """Say how many rows of a table a selector leaves out since they ended in an error, and of which subset most."""
    ran, errors = (Counter(row.subset for row in some) for some in (rows, (r for r in rows if r.success is None)))
    if not errors:
        return
    worst = max(errors, key=lambda subset: (errors[subset] / ran[subset], errors[subset], subset))
    warn_of_rows(
        f"{path}: {errors.total()} of {ran.total()} episodes ended in an error and count for no subset of {selector}; "
        f"most with {worst or 'no helper'}, {errors[worst]} of {ran[worst]}"
    )


@cache
def warn_of_rows(line: str) -> None:
    """Say something of a table once per process: arms build their selectors again and again."""
    log.warning("%s", line)


def _check_numbers(path: Path | str, rows: Iterable[OutcomeRow]) -> None:
    """Refuse numbers that would end in wrong weights or costs without a word.

    Raises:
        BadInput: a propensity is no probability, a cost is negative or not finite, or columns contradict each other.
    """
    costs = ("tokens", "tokens_agent", "tokens_helper", "tokens_selector", "tokens_cached", "output_tokens", "seconds")
    bounds = {"propensity": 1.0 + 1e-9, **dict.fromkeys(costs, math.inf)}
    for row in rows:
        for name, most in bounds.items():
            value = getattr(row, name)
            if value is not None and not (0.0 <= value <= most and math.isfinite(value)):
                what = "is no probability" if name == "propensity" else "cannot be a cost"
                raise BadInput(f"{path}: episode {row.episode_id}: {name} {value} {what}; leave it empty if unknown")
        told = None if row.status == "error" else row.status == "success"
        if row.success is not told:
            raise BadInput(f"{path}: episode {row.episode_id}: success is {row.success}, its status {row.status}")
        if row.tokens != row.tokens_agent + row.tokens_helper + row.tokens_selector:
            raise BadInput(f"{path}: episode {row.episode_id}: tokens are not those of agent, helper and selector")


def _other_versions(rows: Sequence[OutcomeRow], wanted: Mapping[str, str]) -> list[str]:
    """Return the versions that are not those of their domain; where no row is of a wanted domain, of none of them."""
    own = [row for row in rows if row.domain in wanted]
    found = [row.benchmark_version or "none" for row in own if row.benchmark_version != wanted[row.domain]]
    if not own:
        found = [row.benchmark_version or "none" for row in rows if row.benchmark_version not in wanted.values()]
    return sorted(set(found))


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return what ``write_outcomes`` recorded about the table: config, command, commit, versions.

    Raises:
        BadInput: the file is missing or no parquet file.
    """
    schema = _read(Path(path), []).schema
    note = (schema.metadata or {}).get(_METADATA_KEY)
    try:
        value = json.loads(note) if note else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: its metadata is damaged; write it again")
    return value


def read_columns(path: Path | str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Read some columns of a table, where the rows are not needed whole.

    Raises:
        BadInput: the file is missing or no outcome table.
    """
    table = _read(Path(path), list(names))
    for name in names:
        if name not in table.column_names:
            raise BadInput(f"{path}: no outcome table: column {name!r}: Field required; write it again")
    return {name: _values(table[name]) for name in names}


def spent_on_table(path: Path | str) -> Spent:
    """Return the setup cost that the episodes of a table are: that which it states, else that of its rows.

    Raises:
        BadInput: the file is missing or no outcome table.
    """
    stated = read_metadata(path).get(SPENT)
    if isinstance(stated, dict):
        try:
            return Spent.model_validate({**stated, "part": "outcome table", "source": str(path)})
        except ValidationError:
            raise BadInput(f"{path}: its metadata is damaged ({SPENT}); write it again") from None
    columns = read_columns(path, ("tokens", "seconds"))
    return Spent(
        part="outcome table", source=str(path), tokens=sum(columns["tokens"]), seconds=known_sum(columns["seconds"])
    )


def _values(column: Any) -> list[Any]:
    """Return a column as Python values.

    Equal texts of a chunk are one string: states are long, and most rows share theirs.
    """
    import pyarrow as pa

    values: list[Any] = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            known = chunk.dictionary.to_pylist()
            values += [None if place is None else known[place] for place in chunk.indices.to_pylist()]
        else:
            values += chunk.to_pylist()
    return values


def _read(path: Path, columns: list[str] | None = None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise BadInput(f"{path}: is a folder; give the outcome table in it, such as {path / 'outcomes.parquet'}")
    if not path.is_file():
        raise Missing(f"{path}: no such file; write it with `fama outcomes --config F --out DIR`")
    try:
        texts = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
        return pq.ParquetFile(path, read_dictionary=texts).read(columns=columns)
    except (pa.ArrowInvalid, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: not a readable parquet file ({reason}); write it again") from None


def _schema(pa: Any) -> Any:
    kinds = {
        **dict.fromkeys(_INTEGERS, pa.int64()),
        **dict.fromkeys(("propensity", "reward", "seconds"), pa.float64()),
        "success": pa.bool_(),
    }
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in OutcomeRow.model_fields])
