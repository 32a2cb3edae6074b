"""Mutation testing: the mutants of a toy module, and what becomes of them and of real ones."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perf.mutation.mutate import Mutant, mutants_of, mutated
from perf.mutation.run import (
    KINDS,
    TESTS,
    ModuleMutants,
    MutantVerdict,
    kept_rows,
    known_survivors,
    module_rows,
    rows_again,
    source_of,
)
from perf.record import RESULTS, ROOT

TOY = '''"""A module."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from other import thing
def f(a: "int | 3", b: int = 2) -> "1 < 2":
    """Say 1 + 1."""
    if not a:
        raise ValueError(b)
    kept = [x for x in range(a) if x < b]
    kept.append(-a)
    while kept and a > 1.5:
        a -= 1
    return max(kept) if a is None else None
'''


def test_every_place_of_a_toy_module_changes_once() -> None:
    assert [mutant.name.removeprefix("f: ") for mutant in mutants_of(TOY)] == [
        "2 → 3",
        "not a → a",
        "raise ValueError(b) → pass",
        "for … if x < b → for …",
        "x < b → x <= b",
        "x < b → x >= b",
        "kept.append(-a) → pass",
        "-a → a",
        "if kept and a > 1.5 → if not (kept and a > 1.5)",
        "kept and a > 1.5 → kept or a > 1.5",
        "a > 1.5 → a >= 1.5",
        "a > 1.5 → a <= 1.5",
        "1.5 → 3.0",
        "a -= 1 → a += 1",
        "a -= 1 → pass",
        "1 → 2",
        "return max(kept) if a is None else None → return None",
        "a is None → a is not None",
        "max → min",
    ]


@pytest.mark.parametrize(
    ("source", "results"),
    [
        ("def f(a, b): return a < b", [[None] * 3, [True, True, False], [False, True, True]]),
        ("def f(a, b): return a - b", [[None] * 3, [3, 4, 3]]),
        ("def f(a, b): return a and not b", [[None] * 3, [1, 2, 2], [2, 2, 1]]),
        ("def f(a, b): return b if a == 1 else 7", [[None] * 3, [7, 2, 1], [7, 2, 1], [2, 8, 8]]),
    ],
)
def test_a_mutant_runs_changed(source: str, results: list[list[object]]) -> None:
    pairs = ((1, 2), (2, 2), (2, 1))
    seen = []
    for mutant in mutants_of(source):
        names: dict[str, Any] = {}
        exec(compile(mutated(source, mutant.index), "toy", "exec"), names)  # noqa: S102
        seen.append([names["f"](*pair) for pair in pairs])
    assert seen[: len(results)] == results
    with pytest.raises(IndexError, match="mutant 99"):
        mutated(source, 99)


def test_equal_changes_have_names_of_their_own() -> None:
    names = [mutant.name for mutant in mutants_of("class A:\n    def f(self): x.y = 1; x.y = 1\n")]
    assert names == ["A.f: x.y = 1 → pass", "A.f: 1 → 2", "A.f: x.y = 1 → pass (2)", "A.f: 1 → 2 (2)"]


def test_rows_by_hand(tmp_path: Path) -> None:
    verdicts = [MutantVerdict(Mutant(n, f"m{n}"), n > 2, n == 4) for n in range(6)]
    counts, *survivors = module_rows(
        ModuleMutants("m", 9, tuple(verdicts), 1.4), {"equivalent": {"m0": "same"}, "accepted": {}}
    )
    assert counts == {
        "module": "m",
        "mutants": 9,
        "run": 6,
        "killed": 3,
        "by time": 1,
        "survived": 3,
        "equivalent": 1,
        "accepted": 0,
        "seconds": 1,
    }
    assert survivors[0] == {"module": "m", "survivor": "m0", "kind": "equivalent", "reason": "same"}
    assert [(row["survivor"], row["kind"]) for row in survivors[1:]] == [("m1", None), ("m2", None)]
    again = list(module_rows(ModuleMutants("m", 9, (MutantVerdict(Mutant(0, "m0"), False, False), verdicts[4]), 2), {}))
    first, *rest = rows_again([counts, *survivors], again)
    assert (first["run"], first["killed"], first["by time"], first["survived"], first["seconds"]) == (6, 4, 2, 1, 3)
    assert rest == [{"module": "m", "survivor": "m0", "kind": None, "reason": None}]
    (tmp_path / "old.json").write_text(json.dumps({"rows": [{"module": "a"}, {"module": "b"}]}))
    assert kept_rows(tmp_path / "old.json", ["a"]) == [{"module": "b"}] and kept_rows(tmp_path / "no.json", []) == []


def test_every_known_survivor_is_a_mutant_and_no_other_survived() -> None:
    found = json.loads((RESULTS / "mutants.json").read_text(encoding="utf-8"))["rows"]
    for module, kinds in known_survivors().items():
        names = {mutant.name for mutant in mutants_of(source_of(module).read_text(encoding="utf-8"))}
        assert set(kinds) <= set(KINDS)
        assert [name for kind in kinds.values() for name in kind if name not in names] == [], module
    assert {row["module"] for row in found} == set(TESTS)
    counts = [row for row in found if "run" in row]
    assert sum(row["killed"] for row in counts) >= 0.85 * sum(row["run"] for row in counts)
    assert [row for row in found if "survivor" in row and not row["reason"]] == []


@pytest.mark.slow
def test_mutants_of_a_small_module_are_killed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "perf/mutation/run.py", "--module", "eval.stats.resampling", "--sample=2", f"--out={out}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert (row["mutants"], row["run"], row["killed"], row["by time"]) == (13, 2, 2, 0)
    assert "limits: 85% killed, 100.0% are: kept" in done.stdout
