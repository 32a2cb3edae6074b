"""Verdicts of ACEBench on one task, with its own checkers; ``eval_main.py`` sums the same rules over a file.

Its file imports a spreadsheet library at once, so the few lines around the checkers stand here; a test runs
``eval_main.py`` on the same outputs and compares.
"""

from collections.abc import Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any

from fama.envs.acebench.task_files import AceTask


def agent_verdict(task: AceTask, state: list[dict[str, Any]]) -> bool:
    """Return whether the end state of every class is that of the answer (its end-to-end accuracy).

    A class that the answer names otherwise than the code keeps the verdict of the class before it, as there.
    """
    checker = import_module("model_eval.checker")
    truth = _listed(task.answer["ground_truth"])
    if len(truth) != len(state):
        return False
    valid = right = True
    for wanted in truth:
        found = next((part for part in state if part.keys() == wanted.keys()), None)
        if found:
            valid = bool(checker.agent_checker(found, wanted)["valid"])
        right = right and valid
    return right


def process_verdict(task: AceTask, process: Sequence[str]) -> float:
    """Return the share of milestones passed in their order, of the best alternative (its process accuracy)."""
    stones = task.answer["mile_stone"]
    if stones and isinstance(stones[0], list):
        return max(round(_passed(path, process), 3) for path in stones)
    return _passed(stones, process)


def normal_verdict(task: AceTask, said: str) -> bool:
    """Return whether an answer's calls are those of one of the right answers.

    ``said`` must hold nothing but literals: ACEBench's reader computes what looks like arithmetic.
    """
    checker, reader = import_module("model_eval.checker"), import_module("model_inference.utils")
    try:
        calls = reader.decode_ast("", "".join(said.split()))
    except Exception:  # noqa: BLE001 - its reader's errors are wrong answers there
        return False
    if not checker.is_function_call_format_valid(calls):
        return False
    functions, question = task.row["function"], task.row["question"]
    return any(
        checker.normal_checker(deepcopy(functions), calls, deepcopy(truth), question, task.category)["valid"]
        for truth in _listed(task.answer["ground_truth"])
    )


def special_verdict(task: AceTask, said: str) -> bool:
    """Return whether an answer says what is missing, wrong or out of reach, in the benchmark's words."""
    truth = task.answer["ground_truth"]
    if "incomplete" in task.category:
        return "Missing necessary parameters" in said and all(
            name in said and all(value in said for value in values) for name, values in truth.items()
        )
    if "error" in task.category:
        return "There is incorrect value" in said and all(v in said for values in truth.values() for v in values)
    return "the limitations of the function" in said


def _passed(stones: Sequence[str], process: Sequence[str]) -> float:
    if not stones:
        return 1.0
    place = passed = 0
    for stone in stones:
        while place < len(process):
            place += 1
            if process[place - 1].strip() == stone.strip():
                passed += 1
                break
    return passed / len(stones)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
