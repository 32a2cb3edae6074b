"""The task files of a checkout, and its tools as JSON schemas."""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from fama.envs.checkouts import on_path
from fama.episodes.records import ToolSpec
from fama.errors import BadInput

#: Names of types in the task files that JSON schema calls otherwise.
_TYPES = {"dict": "object", "list": "array", "tuple": "array", "float": "number", "int": "integer", "bool": "boolean"}


@dataclass(frozen=True)
class AceTask:
    """One line of a task file with its line of answers. ``language`` is ``en`` or ``zh``."""

    category: str
    language: str
    row: dict[str, Any]
    answer: dict[str, Any]

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the functions that the task offers."""
        functions = self.row["function"]
        return tuple(_tool(f) for f in (functions if isinstance(functions, list) else [functions]))

    def text(self, name: str) -> str:
        """Return a prompt of the checkout, by its name without the language, e.g. ``BASE_PROMPT``."""
        return prompt(f"model_inference.prompt_{self.language}", name, self.language)


@lru_cache(maxsize=64)
def tasks(category: str, language: str) -> dict[str, AceTask]:
    """Return a category's tasks by id, in the order of the file.

    Raises:
        BadInput: a file is missing or broken, or tasks and answers do not belong together.
    """
    folder = on_path("acebench") / "data_all" / f"data_{language}"
    rows, answers = (_lines(place / f"data_{category}.json") for place in (folder, folder / "possible_answer"))
    if [row["id"] for row in rows] != [row["id"] for row in answers]:
        raise BadInput(f"{folder}: data_{category}.json and its possible_answer list different ids; clone it again")
    return {row["id"]: AceTask(category, language, row, answer) for row, answer in zip(rows, answers, strict=True)}


def prompt(module: str, name: str, language: str) -> str:
    """Return a prompt of the checkout's code."""
    return str(getattr(import_module(module), f"{name}_{language.upper()}"))


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); clone ACEBench again") from None


def _tool(function: dict[str, Any]) -> ToolSpec:
    schema = function.get("parameters") or function.get("arguments") or {"type": "object", "properties": {}}
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters=json.dumps(_schema(schema), ensure_ascii=False),
    )


def _schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    tree = {key: _schema(value) for key, value in node.items()}
    if isinstance(node.get("type"), str):
        tree["type"] = _TYPES.get(node["type"], node["type"])
    return tree
