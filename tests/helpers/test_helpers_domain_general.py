"""Helpers know no benchmark: no import of one, and none of its nouns in their source or prompts."""

import ast
from pathlib import Path

import pytest

import fama.helpers
from fama.dialogue.language import STOP, stem, words
from fama.dialogue.roles import CLOSE_VERBS, OTHER_VERBS, READ_VERBS, WRITE_VERBS
from fama.envs.base import BENCHMARKS

FOLDER = Path(fama.helpers.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))
PROMPTS = sorted((FOLDER.parent / "prompts" / "helpers").glob("*.j2"))
#: Words of every conversation, whatever it is about.
EVERYWHERE = {stem(word) for word in "user id e mail email case number new role refused resolved".split()}
TAU = "order item product flight reservation passenger baggage airport address payment certificate zip cabin"


def domain_nouns() -> set[str]:
    """Nouns in the names and parameters of the tools of the embedded benchmark, and of a public one."""
    benchmark = BENCHMARKS.load("helpdesk")()
    found = set(words(TAU))
    for domain in benchmark.domains():
        environment = benchmark.environment(domain, benchmark.task_ids(domain, "dev")[0])
        for tool in environment.tools:
            schema = tool.schema_dict()
            found |= set(words(tool.name)[1:])
            for name, value in schema["properties"].items():
                found |= {*words(name), *(word for word in value.get("enum", []) if word.isalpha())}
    verbs = {stem(verb) for verb in READ_VERBS | CLOSE_VERBS | OTHER_VERBS | WRITE_VERBS}
    return {stem(word) for word in found if word not in STOP and len(word) > 2} - EVERYWHERE - verbs


NOUNS = domain_nouns()


def literals(source: Path) -> str:
    """String constants of a module, docstrings left out."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    documentation |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return "\n".join(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    )


def test_the_nouns_are_there() -> None:
    assert {stem("order"), stem("seats"), stem("invoice"), stem("postcode")} <= NOUNS


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_domain_noun_in_a_literal(source: Path) -> None:
    assert NOUNS & {stem(word) for word in words(literals(source))} == set()


@pytest.mark.parametrize("source", PROMPTS, ids=lambda path: path.stem)
def test_no_domain_noun_in_a_prompt(source: Path) -> None:
    assert NOUNS & {stem(word) for word in words(source.read_text(encoding="utf-8"))} == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_import_of_an_environment(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("fama.envs")
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("fama.envs") for alias in node.names)
