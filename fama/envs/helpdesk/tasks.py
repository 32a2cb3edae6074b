"""Tasks by id. ``analysis_of`` is for tests and analysis; no environment holds what it tells."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from fama.envs.helpdesk.task_mix import DEMONSTRATIONS, DOMAINS, LISTED, TaskPlan, parse_id, plan_task
from fama.envs.helpdesk.task_records import Analysis, Domain, Draft, Task
from fama.errors import BadInput


class Generator(NamedTuple):
    """A domain, the families of its tasks, and what builds one."""

    domain: Domain
    families: Sequence[str]
    build: Callable[[TaskPlan], Draft]


def generator_of(domain: str) -> Generator:
    """Return the generator of a domain.

    Raises:
        BadInput: the domain is unknown; the message lists the known ones.
    """
    if domain not in DOMAINS:
        raise BadInput(f"helpdesk: unknown domain {domain!r}; known: {', '.join(DOMAINS)}")
    package = import_module(f"fama.envs.helpdesk.{domain}")
    tasks = import_module(f"fama.envs.helpdesk.{domain}.tasks")
    return Generator(package.domain(), tasks.FAMILIES, tasks.generate_task)


def build_task(domain: str, task_id: str) -> Task:
    """Return the task of an id.

    Raises:
        BadInput: the domain or the id is unknown.
    """
    return _draft(domain, task_id).task


def analysis_of(task_id: str) -> Analysis:
    """Return a task's family, level, refusal, correction and traps. For tests and analysis only.

    Raises:
        BadInput: the id is unknown.
    """
    return _draft(task_id.split("-")[0], task_id).analysis


def demonstration_ids(domain: str) -> tuple[str, str]:
    """Return two tasks of a seed range of their own that show the flow: no refusal, no correction."""
    families = generator_of(domain).families
    wanted = [(families[0], 1), (families[1], 2)]
    found: dict[tuple[str, int], str] = {}
    for number in range(LISTED):
        task_id = f"{domain}-{DEMONSTRATIONS}-{number:04d}"
        plan = plan_task(domain, task_id, families)
        cell = (plan.family, plan.level)
        if cell in wanted and cell not in found and not plan.refused and not plan.corrected:
            found[cell] = task_id
        if len(found) == len(wanted):
            break
    return found[wanted[0]], found[wanted[1]]


def check_id(domain: str, task_id: str) -> str:
    """Accept ids of the public splits only; return the split.

    Raises:
        BadInput: the id is unknown or belongs to the demonstrations.
    """
    split, _ = parse_id(domain, task_id)
    if split == DEMONSTRATIONS:
        raise BadInput(f"helpdesk: task {task_id!r} is a demonstration; take one like {domain}-dev-0000")
    return split


def _draft(domain: str, task_id: str) -> Draft:
    source = generator_of(domain)
    return source.build(plan_task(domain, task_id, source.families))
