"""The layout: small folders, one meaning per name, tests that share only through tests/support."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fama", "training", "eval", "perf")
#: Modules that a folder may hold without its subfolders.
MOST_MODULES = 14
#: Lines that a module may have.
MOST_LINES = 400
LAYOUT = ROOT / "docs/design/layout.md"


class Shared(NamedTuple):
    """A name that several places may have: why, and where (patterns of paths; a folder's path ends with a slash)."""

    reason: str
    places: tuple[str, ...] = ("*",)


_KINDS = ("fama/selection/router/kinds/*.py", "training/kinds/*.py")
_KIND = Shared("a router kind: used by fama, made by training", _KINDS)

#: Names that several modules or folders have with one meaning.
SHARED_MODULES: Mapping[str, Shared] = {
    "base": Shared("the protocol of its package, with the registry"),
    "command": Shared("the command of its package"),
    "records": Shared("the stored records of its package"),
    "registry": Shared("the registry, and its entries of training", ("fama/registry.py", "training/registry.py")),
    "settings": Shared("the settings of its package's command"),
    "summary": Shared("the summary of its package's results"),
    "ray_jobs": Shared("the package's jobs as Ray tasks", ("fama/*",)),
    "runner": Shared("many episodes into one folder, resumable", ("fama/agents/runs/*", "fama/mining/*")),
    "run": Shared("the command, and the script of a folder of perf", ("fama/commands/*", "perf/*/run.py")),
    "publish": Shared("tables of the docs", ("eval/publish/", "perf/publish.py")),
    "commands": Shared("one module per command", ("fama/commands/", "eval/commands/")),
    "kinds": Shared("router kinds", ("fama/selection/router/kinds/", "training/kinds/")),
    **dict.fromkeys(("boosting", "knn", "linear", "one_vs_rest", "prior", "setfit", "state_vectors"), _KIND),
    "encoder": Shared("the text encoder, and the kind with one", (*_KINDS, "fama/selection/router/encoder.py")),
    "network": Shared("the network of a router, and its training", ("fama/selection/router/*", "training/network/")),
    "checkpoint": Shared("a router's folder: read, written", ("fama/selection/router/*", "training/export/*")),
    "reading": Shared("reading of user turns by meaning: used, fitted", ("fama/agents/*", "training/reading.py")),
    # commands are called as users call them
    "annotate": Shared("the package and its command", ("fama/annotate/", "fama/commands/*")),
    "cache": Shared("the response cache and the command that fills it", ("fama/models/*", "fama/commands/*")),
    "compare": Shared("the package and its command", ("eval/compare/", "eval/commands/*")),
    "diagnose": Shared("diagnosis of episodes and its command", ("fama/diagnosis/*", "eval/commands/*")),
    "export": Shared("what is written for others: episodes, a router", ("fama/commands/*", "training/export/")),
    "helpers": Shared("the package and its command", ("fama/helpers/", "eval/commands/*")),
    "mine_check": Shared("the package and its command", ("eval/mine_check/", "eval/commands/*")),
    "models": Shared("the package and its command", ("fama/models/", "fama/commands/*")),
    "outcomes": Shared("outcome tables and the command", ("eval/collect/*", "eval/commands/*")),
    "report": Shared("the package and its command", ("eval/report/", "eval/commands/*")),
    "collect": Shared("collecting measurements, from runs or logs", ("eval/collect/", "eval/planning/*")),
    "logged_notes": Shared("the package and its tables", ("eval/logged_notes/", "eval/publish/*")),
    "paper_grid": Shared("the grid and its tables", ("eval/planning/*", "eval/publish/*")),
    "readings": Shared("the package's central module", ("eval/readings/", "eval/readings/*")),
    "router": Shared("the package's central module", ("fama/selection/router/", "fama/selection/router/*")),
    # benchmarks and what all of them have
    "acebench": Shared("the benchmark and its format", ("fama/envs/acebench/", "fama/episodes/importers/*")),
    "tau2": Shared(
        "the benchmark, its format, its own harness",
        ("fama/envs/tau2/", "fama/episodes/importers/*", "perf/reference/*"),
    ),
    "tau_bench": Shared("the benchmark and its format", ("fama/envs/tau_bench/", "fama/episodes/importers/*")),
    "inspect_log": Shared(
        "Inspect's format: read, written", ("fama/episodes/importers/*", "fama/episodes/exporters/*")
    ),
    "benchmark": Shared("an environment's benchmark", ("fama/envs/*",)),
    "material": Shared("tools and policy of a benchmark", ("fama/envs/*",)),
    "world": Shared("an environment's world", ("fama/envs/*",)),
    "builder": Shared("a domain of the helpdesk", ("fama/envs/helpdesk/*",)),
    "tasks": Shared("tasks of the helpdesk and its domains", ("fama/envs/helpdesk/*",)),
    "gold": Shared("the reference actions", ("fama/envs/helpdesk/*", "fama/diagnosis/detectors/*")),
    "policy": Shared("the domain's policy", ("fama/dialogue/*", "fama/diagnosis/detectors/*")),
    "tools": Shared("the agent's tools", ("fama/dialogue/*", "fama/diagnosis/detectors/*", "fama/envs/helpdesk/*")),
    "user": Shared("the user: simulated, faulty", ("fama/envs/*", "fama/diagnosis/detectors/*")),
}

#: Names that several public functions have with one meaning: mostly what a registry or a caller looks up in a module.
SHARED_FUNCTIONS: Mapping[str, Shared] = {
    "main": Shared("the entry point of a command or script"),
    "add_arguments": Shared("flags of a command", ("fama/commands/*", "training/command.py", "eval/commands/*")),
    "build": Shared("makes a helper or selector from options", ("fama/helpers/*", "fama/selection/selectors/*")),
    "write": Shared("a helper's note by rule", ("fama/helpers/*",)),
    "detect": Shared("a detector", ("fama/diagnosis/detectors/*",)),
    "read": Shared("an importer", ("fama/episodes/importers/*",)),
    "export_episodes": Shared("an exporter", ("fama/episodes/exporters/*", "fama/envs/*/exporter.py")),
    "search": Shared("a search", ("fama/mining/search/*",)),
    "fit_labels": Shared("a router kind's heads", ("training/kinds/*",)),
    "fit_outcomes": Shared("a router kind's heads", ("training/kinds/*",)),
    "domain": Shared("a domain of the helpdesk", ("fama/envs/helpdesk/*/__init__.py",)),
    "generate_task": Shared("a domain of the helpdesk", ("fama/envs/helpdesk/*/tasks.py",)),
    "serve": Shared("a local model server", ("fama/models/servers/*",)),
    "measure": Shared("what a script measures", ("perf/*",)),
    "diagnose": Shared("the public function and what it calls", ("fama/advising/*", "fama/diagnosis/*")),
}


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_no_test_module_imports_another() -> None:
    wrong = []
    for path in modules("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[-1].startswith("test_")]
    assert wrong == []


def test_no_folder_is_a_flat_pile() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in modules(*PACKAGES) if path.name != "__init__.py")
    assert len(counts) > 20
    assert {str(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_modules_stay_readable() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*PACKAGES)}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MOST_LINES} == {}


def clashes(places: Mapping[str, set[str]], shared: Mapping[str, Shared]) -> dict[str, list[str]]:
    """Return the names of more than one place, with those of their places that the shared names do not allow."""
    found = {}
    for name, where in places.items():
        allowed = shared[name].places if name in shared else ()
        wrong = sorted(place for place in where if not any(fnmatch(place, pattern) for pattern in allowed))
        if len(where) > 1 and wrong:
            found[name] = wrong
    return found


def unneeded(places: Mapping[str, set[str]], shared: Mapping[str, Shared]) -> list[str]:
    return [name for name in shared if len(places.get(name, ())) < 2]


def module_places() -> dict[str, set[str]]:
    """Return the places of each name of a module or a folder."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    for path in modules(*PACKAGES):
        place = path.relative_to(ROOT)
        if place.stem == "__init__":
            places[place.parent.name].add(f"{place.parent.as_posix()}/")
        elif place.stem != "__main__":
            places[place.stem].add(place.as_posix())
    return places


def type_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the classes and type aliases that a statement defines; type variables are upper case."""
    if isinstance(statement, ast.ClassDef):
        yield statement.name
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    for target in [statement.target] if isinstance(statement, ast.AnnAssign) else targets:
        if isinstance(target, ast.Name) and re.match(r"[A-Z]\w*[a-z]", target.id):
            yield target.id


def function_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name


def public_places() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the modules of each public type and of each public function, both at a module's top level."""
    types: defaultdict[str, set[str]] = defaultdict(set)
    functions: defaultdict[str, set[str]] = defaultdict(set)
    for path in modules(*PACKAGES):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            for found, names in ((types, type_names), (functions, function_names)):
                for name in names(statement):
                    if not name.startswith("_"):
                        found[name].add(path.relative_to(ROOT).as_posix())
    return types, functions


def test_a_module_or_folder_has_a_name_of_its_own() -> None:
    places = module_places()
    assert clashes(places, SHARED_MODULES) == {}
    assert unneeded(places, SHARED_MODULES) == []


def test_a_class_or_public_function_has_a_name_of_its_own() -> None:
    types, functions = public_places()
    assert len(types) > 500 and len(functions) > 1000
    assert {name: where for name, where in types.items() if len(where) > 1} == {}
    assert clashes(functions, SHARED_FUNCTIONS) == {}
    assert unneeded(functions, SHARED_FUNCTIONS) == []


def test_a_second_place_outside_the_shared_ones_is_a_clash() -> None:
    shared = {"read": Shared("an importer", ("fama/importers/*",))}
    both = {"fama/importers/a.py", "fama/importers/b.py"}
    assert clashes({"read": both, "one": {"eval/a.py"}}, shared) == {}
    assert clashes({"read": both | {"eval/a.py"}}, shared) == {"read": ["eval/a.py"]}
    assert clashes({"row": {"eval/a.py", "fama/b.py"}}, shared) == {"row": ["eval/a.py", "fama/b.py"]}


def inside(folder: str) -> set[str]:
    """Return the modules of a folder and the packages directly below it."""
    modules_of = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__", "__main__"}
    return modules_of | {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}


def section(title: str) -> str:
    return LAYOUT.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_table_of_modules_names_every_module() -> None:
    stated = {
        quoted(row)[0]: quoted(row)[1:] for row in section("Modules by folder").splitlines() if row.startswith("| `")
    }
    actual: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules(*PACKAGES):
        if path.stem not in ("__init__", "__main__") and path.parent != ROOT / "fama":
            actual[path.parent.relative_to(ROOT).as_posix()].append(path.stem)
    assert {folder: sorted(names) for folder, names in stated.items()} == actual


def test_the_tables_of_layers_name_every_layer() -> None:
    text = section("The layers of fama")
    rows = [row.split(" | ")[0] for row in text.splitlines() if row.startswith("| `")]
    assert sorted(name for row in rows for name in quoted(row)) == sorted(inside("fama"))
    training, of_eval = text.split("\n`training`, from the top:")[1].split("`eval`:")
    assert sorted(quoted(training)) == sorted(inside("training"))
    assert sorted(quoted(of_eval.split("`perf`")[0])) == sorted(inside("eval"))
