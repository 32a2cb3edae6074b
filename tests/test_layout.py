"""The layout: small rooms, one name per room, tests that share only through tests/support."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fama", "training", "eval", "perf")
#: Modules that a folder may hold without its subfolders.
MOST_MODULES = 14
#: Lines that a module may have.
MOST_LINES = 400


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
