"""Measure time and memory of writing, scoring and filtering a store of many episodes.

    python perf/store_speed.py --episodes 100000

writes SYNTHETIC episodes (9 kB each, as the embedded benchmark's) in two ways, each by its own fsynced append and all
together; scores them with ``fama score``; and asks DuckDB for the failures of one arm by SQL. Every step is a process
of its own; wall time and peak memory of each are printed and written. Scoring must not need memory in proportion to
the episodes: it is done on a tenth of them, too. Nothing else should run meanwhile.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from perf.record import ProcessCost, conclude, parser, save, timed

#: Bytes of peak memory that one more episode may cost ``fama score``.
BYTES_EACH = 3000.0
MAKE = """
import sys, time
from pathlib import Path
from fama.episodes.records import *
from fama.episodes.store import EpisodeStore
folder, count, single = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "single"
words = "The order was delivered on Monday and holds a lamp, a table and two chairs. " * 6
def message(n):
    if n % 3 == 0:
        return Message(role="user", content=words)
    if n % 3 == 1:
        call = ToolCall(id=f"c{n}", function=FunctionCall(name="get_order", arguments='{"order_id": "W100"}'))
        return Message(role="assistant", tool_calls=(call,))
    return Message(role="tool", content=words, tool_call_id=f"c{n-1}", name="get_order")
messages = tuple(message(n) for n in range(15))
row = LedgerRow(role="agent", model="m", input_tokens=900, cached_input_tokens=700, output_tokens=20)
def episode(n):
    return Episode(
        id=f"e{n}", benchmark="synthetic", domain="shop", task_id=f"t{n % 500}", trial=n // 500, backbone="b",
        strategy="act", selector=("none", "learned")[n % 2], messages=messages, ledger=(row,) * 8, seconds=3.0,
        decisions=tuple(Decision(turn=t, message_index=2 + 2 * t) for t in range(8)),
        outcome=Outcome(status=("success", "failure", "failure", "success", "error")[n % 5], reason="closed"))
store = EpisodeStore(folder)
if single:
    for n in range(count):
        store.append(episode(n))
else:
    store.append_lines(episode(n).model_dump_json().encode() + b"\\n" for n in range(count))
"""
SQL = """
import sys, duckdb
query = '''select task_id, count(*) n, avg(len(messages)) messages,
sum(list_sum(list_transform(ledger, lambda r: r.input_tokens))) tokens
from read_json(?, format='newline_delimited', maximum_object_size=10000000)
where selector = 'learned' and outcome.status = 'failure' group by task_id order by n desc'''
rows = duckdb.sql(query, params=[sys.argv[1]]).fetchall()
assert rows, "no failures found"
"""


def main() -> int:
    """Write, score, filter; exit 1 when scoring needs memory in proportion to the episodes."""
    args = parser(__doc__)
    args.add_argument("--episodes", type=int, default=100_000)
    args.add_argument("--single", type=int, default=2_000, help="of these, appended one by one")
    wanted = args.parse_args()
    few, many = max(10, wanted.episodes // 10), wanted.episodes
    with tempfile.TemporaryDirectory() as folder:
        one, small, large = (Path(folder) / name for name in ("one", "small", "large"))
        single = timed("-c", MAKE, str(one), str(wanted.single), "single")
        rows = [_row(f"append {wanted.single:,} one by one", wanted.single, single)]
        timed("-c", MAKE, str(small), str(few), "together")
        rows.append(_row(f"append {many:,} together", many, timed("-c", MAKE, str(large), str(many), "together")))
        size = (large / "episodes.jsonl").stat().st_size
        scored = {count: timed("-m", "fama", "score", str(path)) for count, path in ((few, small), (many, large))}
        rows += [_row(f"fama score, {count:,} episodes", count, step) for count, step in scored.items()]
        rows.append(_row(f"SQL filter of {many:,} by DuckDB", many, timed("-c", SQL, str(large / "episodes.jsonl"))))
    each = (scored[many].peak - scored[few].peak) / (many - few)
    rows.append({"what": "memory of fama score per further episode", "bytes": round(each)})
    note = f"{many:,} synthetic episodes, {size / 1e6:.0f} MB of JSON lines"
    save("store_speed", rows, ("pydantic", "duckdb"), wanted.out, note)
    good = each < BYTES_EACH
    return conclude(f"{BYTES_EACH:.0f} bytes per episode, of {size / many:.0f} on disk", good)


def _row(what: str, episodes: int, step: ProcessCost) -> dict[str, Any]:
    return {
        "what": what,
        "seconds": round(step.seconds, 2),
        "episodes per second": round(episodes / step.seconds),
        "peak MB": round(step.peak / 1e6),
    }


if __name__ == "__main__":
    sys.exit(main())
