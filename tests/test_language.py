"""The language of docstrings and pages: actions for functions, no question as an opening, units with "per"."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fama", "training", "eval", "perf")
QUESTION = re.compile(r"(What|Whether|Which|How|Where|Why|When|Who)\b")
#: An article, a plural, a participle or a small letter: no imperative begins so. ``Pass``, ``Seed`` and ``Bring`` do.
NO_ACTION = re.compile(r"(?:The|An?|One|No|In|For|Its?)\b|\w*(?:[^\Ws]s|[^\We]ed|\w{3}ing)\b|[^A-Z]")
COUNTED = "tokens?|calls?|seconds?|trials?|tasks?|notes?|helpers?|episodes?|requests?|subsets?|once|twice"
UNIT = re.compile(
    rf"\b(?:{COUNTED}) an? (?:task|episode|decision|domain|second|turn|run|arm|slot|user|helper|request)\b"
)


class Text(NamedTuple):
    """A string in a module. ``doc`` is true for a docstring, ``function`` for that of a function that must act."""

    place: str
    text: str
    doc: bool
    function: bool

    @property
    def line(self) -> str:
        return f"{self.place}: {self.text.splitlines()[0]}"


@cache
def texts(package: str) -> list[Text]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        docs: dict[int, ast.AST] = {}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            body = getattr(node, "body", None)
            for index, child in enumerate(body if isinstance(body, list) else ()):
                if isinstance(child, ast.Expr):
                    docs[id(child.value)] = node if index == 0 else child
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
                owner = docs.get(id(node))
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                found.append(Text(place, node.value.strip(), owner is not None, must_act(owner)))
    return found


def must_act(node: ast.AST | None) -> bool:
    """Return whether it is a function that is neither a property nor a special method."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("__"):
        return False
    return not any("property" in ast.unparse(one) for one in node.decorator_list)


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_docstring_opens_with_a_question_word(package: str) -> None:
    found = [one.line for one in texts(package) if one.doc and QUESTION.match(one.text)]
    assert not found, "name the thing or the action instead"


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_of_functions_open_with_an_action(package: str) -> None:
    found = [one.line for one in texts(package) if one.function and NO_ACTION.match(one.text)]
    assert not found, 'write an imperative, such as "Return ..."'


@pytest.mark.parametrize("package", PACKAGES)
def test_units_in_strings_are_written_with_per(package: str) -> None:
    found = [f"{one.place}: {match[0]}" for one in texts(package) for match in UNIT.finditer(one.text)]
    assert not found, 'write "tokens per episode", not "tokens an episode"'


def test_units_on_pages_are_written_with_per() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
        for match in UNIT.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, 'write "tokens per episode", not "tokens an episode"'


def test_the_checks_tell_good_from_bad() -> None:
    assert all(map(NO_ACTION.match, ("Flags of the command.", "The table.", "Loading a model.", "``a`` or ``b``.")))
    assert not any(map(NO_ACTION.match, ("Return it.", "Pass it on.", "Seed the draws.", "Bring it.", "Process all.")))
    assert UNIT.search("40 tokens an episode") and not UNIT.search("tokens per episode")
