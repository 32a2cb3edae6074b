"""Measure how many mutants of a module its tests kill.

    python perf/mutation/run.py [--module eval.stats.paired] [--sample 100]

Every mutant runs in a process of its own, forked from one that has what the module needs: pytest imports the mutant in
place of the module and runs the module's tests until one fails. A mutant is killed when one fails, when nothing can be
imported, and when the time is up. ``survivors.yaml`` says which survivors are equivalent to the module and which are
accepted, each with its reason; the others show a missing test. The file of results keeps the rows of modules that are
not measured; with ``--again``, after tests were added, only its survivors run. Exit 1 when fewer than 85 % of all
mutants are killed.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import yaml

from perf.mutation.mutate import Mutant, mutants_of, mutated
from perf.record import RESULTS, ROOT, conclude, parser, save

LIMIT = 0.85
SURVIVORS = Path(__file__).with_name("survivors.yaml")
#: Kinds of survivors: nobody can tell them from the module, or another result would be as good.
KINDS = ("equivalent", "accepted")
#: The tests of each module: files, and flags of pytest.
TESTS: dict[str, tuple[str, ...]] = {
    "eval.stats.paired": ("tests/eval/test_paired.py", "tests/eval/test_stats.py"),
    "eval.stats.sign_flips": ("tests/eval/test_paired.py",),
    "eval.stats.proportions": ("tests/eval/test_stats.py", "tests/eval/test_paired.py"),
    "eval.stats.power": ("tests/eval/test_stats.py",),
    "eval.stats.resampling": ("tests/eval/test_resampling.py",),
    "eval.stats.coverage": ("tests/eval/test_coverage.py", "tests/eval/test_paired.py"),
    "eval.stats.interaction": ("tests/eval/test_interaction.py",),
    "fama.selection.decision_rule": (
        "tests/selection/test_decision.py",
        "tests/selection/test_exclusive_members.py",
        "-k=test_decision or admissible or all_helpers",
    ),
    "fama.selection.budget": ("tests/agents/test_budget.py",),
    "fama.agents.decision": (
        "tests/agents/test_loop.py",
        "tests/agents/test_message_limit.py",
        "-k=not test_cut_arguments and not test_a_cut_text",
    ),
    "fama.agents.preparation": ("tests/agents/test_loop.py", "tests/agents/test_prefix_requests.py"),
    "fama.advising.note_refusals": ("tests/serving/test_refused_notes.py",),
    "fama.episodes.store": ("tests/episodes/test_store.py", "tests/episodes/test_jsonl.py"),
    "fama.episodes.jsonl": ("tests/episodes/test_jsonl.py", "tests/episodes/test_store.py"),
}


@dataclass(frozen=True)
class MutantVerdict:
    """The end of one mutant: killed or not, and whether it took the time to be up."""

    mutant: Mutant
    killed: bool
    timed_out: bool


@dataclass(frozen=True)
class ModuleMutants:
    """The verdicts of mutants of a module, of ``every`` there are, and the wall seconds they took."""

    module: str
    every: int
    verdicts: tuple[MutantVerdict, ...]
    seconds: float

    def survivors(self) -> list[str]:
        """Return the names of the mutants that no test killed."""
        return [verdict.mutant.name for verdict in self.verdicts if not verdict.killed]


def source_of(module: str) -> Path:
    """Return the file of a module, without importing it."""
    return (ROOT / Path(*module.split("."))).with_suffix(".py")


def known_survivors() -> dict[str, dict[str, dict[str, str]]]:
    """Return the reasons why mutants may survive, by module, kind and mutant."""
    return yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")) or {}


def measure(
    module: str, sample: int | None, tests: Sequence[str], only: Collection[str] | None = None
) -> ModuleMutants:
    """Run the tests on the mutants of a module; to be called in a process that has not imported it.

    ``sample`` draws so many, ``only`` names them.

    Raises:
        SystemExit: the tests fail on the module as it is.
    """
    start = time.perf_counter()
    source = source_of(module).read_text(encoding="utf-8")
    every = mutants_of(source)
    chosen = [mutant for mutant in every if only is None or mutant.name in only]
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(0).sample(chosen, sample), key=lambda mutant: mutant.index)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(folder) / "bytecode")
        seen = Path(folder) / "modules.txt"
        bench = _Bench(module, tests, Path(folder) / "pytest")
        if (code := bench.run(ast.parse(source), 600, seen)) != 0:
            raise SystemExit(f"{module}: its tests fail or are none without a mutant (pytest {code})")
        for name in seen.read_text(encoding="utf-8").split():
            with suppress(Exception):
                importlib.import_module(name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        bench.run(ast.parse(source), 600)
        limit = 5 + round(5 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before))
        verdicts = []
        for mutant in chosen:
            code = bench.run(mutated(source, mutant.index), limit)
            verdicts.append(MutantVerdict(mutant, code != 0, code is None))
    return ModuleMutants(module, len(every), tuple(verdicts), time.perf_counter() - start)


@dataclass(frozen=True)
class _Bench:
    """Runs the tests of a module in forked processes, with a tree in place of its source."""

    module: str
    tests: Sequence[str]
    folder: Path

    def run(self, tree: ast.Module, limit: int, seen: Path | None = None) -> int | None:
        """Return pytest's exit code, None where ``limit`` seconds of processor time, or a minute more, did not suffice.

        ``seen`` gets the names of the modules that were imported.
        """
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
                code = self._in_child(tree, seen)
            finally:
                os._exit(code)
        end = time.monotonic() + limit + 60
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return None if code == -signal.SIGXCPU else code
            time.sleep(0.01)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def _in_child(self, tree: ast.Module, seen: Path | None) -> int:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        finder = _Finder(self.module, tree)
        sys.meta_path.insert(0, finder)
        import pytest

        flags = ("-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=no", f"--basetemp={self.folder}")
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(nothing, "w", closefd=False))
        code = int(pytest.main([*flags, *self.tests], plugins=[_NoShrinking()]))
        if seen is not None:
            foreign = [name for name in sys.modules if name.split(".")[0] not in ("fama", "eval", "training", "tests")]
            seen.write_text("\n".join(foreign + finder.ready), encoding="utf-8")
        return code if finder.used else 98


class _NoShrinking:
    """Plug-in of pytest: property tests stop at the first counterexample."""

    @staticmethod
    def pytest_configure() -> None:
        from hypothesis import Phase, settings

        settings.register_profile("mutants", settings(), phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from a syntax tree in place of its file's."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        """Compile the tree."""
        return compile(self._tree, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant, and notes the project's modules that were whole before: they do not depend on it."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module, self.tree = module, tree
        self.used = False
        self.ready: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the mutant's specification for its name, None for every other."""
        if fullname != self.module:
            return None
        self.used = True
        loaded = [name for name in sys.modules if name.split(".")[0] in ("fama", "eval", "training")]
        self.ready = [name for name in loaded if not _is_loading(sys.modules[name])]
        file = str(source_of(fullname))
        return importlib.machinery.ModuleSpec(fullname, _Loader(fullname, file, self.tree), origin=file)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def module_rows(measured: ModuleMutants, known: dict[str, dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the counts of a module, then a row per survivor with its kind and reason, None where a test is missing."""
    survivors = measured.survivors()
    kinds = {name: next((kind for kind in KINDS if name in known.get(kind, {})), None) for name in survivors}
    tried, killed = len(measured.verdicts), len(measured.verdicts) - len(survivors)
    counts = {kind: sum(found == kind for found in kinds.values()) for kind in KINDS}
    yield {
        "module": measured.module,
        "mutants": measured.every,
        "run": tried,
        "killed": killed,
        "by time": sum(verdict.timed_out for verdict in measured.verdicts),
        "survived": len(survivors),
        **counts,
        "seconds": round(measured.seconds),
    }
    for name, kind in kinds.items():
        reason = known[kind][name] if kind else None
        yield {"module": measured.module, "survivor": name, "kind": kind, "reason": reason}


def rows_again(before: Sequence[dict[str, Any]], again: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a module whose survivors ran again: the counts of both runs, and what still survives."""
    (old, *_), (new, *survivors) = before, again
    sums = {name: old[name] + new[name] for name in ("killed", "by time", "seconds")}
    yield {**old, **sums, **{name: new[name] for name in ("survived", *KINDS)}}
    yield from survivors


def kept_rows(path: Path, measured: Collection[str]) -> list[dict[str, Any]]:
    """Return the rows of a file of results whose modules are not measured anew; none when there is no file."""
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["module"] not in measured]


def main() -> int:
    """Measure every module, write and print; exit 1 below the limit."""
    args = parser(__doc__)
    args.add_argument("--module", action="append", choices=sorted(TESTS), help="only these")
    args.add_argument("--sample", type=int, help="mutants per module, drawn with seed 0 (default: all)")
    args.add_argument("--again", action="store_true", help="run the survivors of the file only; tests were only added")
    wanted = args.parse_args()
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    known, modules = known_survivors(), wanted.module or list(TESTS)
    out = wanted.out or RESULTS / "mutants.json"
    for module in modules:
        before = [row for row in kept_rows(out, ()) if row["module"] == module and wanted.again]
        only = [row["survivor"] for row in before[1:]] if before else None
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            measured = pool.submit(measure, module, wanted.sample, TESTS[module], only).result()
        own = list(module_rows(measured, known.get(module, {})))
        rows = [*kept_rows(out, [module]), *(rows_again(before, own) if before else own)]
        rows.sort(key=lambda row: list(TESTS).index(row["module"]))
        save("mutants", rows, ("pytest", "hypothesis", "numpy", "scipy"), out, "one change per mutant")
    counts = [row for row in rows if "run" in row]
    share = sum(row["killed"] for row in counts) / sum(row["run"] for row in counts)
    return conclude(f"{LIMIT:.0%} killed, {share:.1%} are", share >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
