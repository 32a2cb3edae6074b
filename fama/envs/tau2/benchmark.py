"""The benchmark ``tau2``: mock, airline, retail and telecom, in the splits that τ²-bench publishes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fama.envs.base import Environment, UserModel
from fama.envs.tau2.package import DISTRIBUTION, load_module, tau2_version
from fama.envs.tau2.world import Tau2Environment
from fama.episodes.records import Message
from fama.errors import BadInput

DOMAINS = ("mock", "airline", "retail", "telecom")
BASE = "base"


class Tau2:
    """Tasks, tools, policies and verdicts of the installed tau2 package; nothing of it is rewritten here."""

    name = "tau2"

    def __init__(self) -> None:
        self._version = f"{DISTRIBUTION}-{tau2_version()}"

    def version(self, domain: str) -> str:
        """Return the installed code's version, the same for every domain."""
        return self._version

    def domains(self) -> Sequence[str]:
        """Return the four domains."""
        return DOMAINS

    def splits(self, domain: str) -> Sequence[str]:
        """Return the splits: ``base`` is all tasks; ``train`` and ``test`` are τ²-bench's own, where it has them."""
        return tuple(_splits(domain))

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return the ids of a split's tasks in the benchmark's order.

        Raises:
            BadInput: the split is unknown.
        """
        known = _splits(domain)
        if split not in known:
            raise BadInput(f"tau2: {domain} has no split {split!r}; known: {', '.join(known)}")
        return known[split]

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task.

        Raises:
            BadInput: the task is unknown, or no model plays the user.
        """
        task = _tasks(domain).get(task_id)
        if task is None:
            raise BadInput(f"tau2: {domain} has no task {task_id!r}; ids look like {next(iter(_tasks(domain)))}")
        if user is None:
            raise BadInput("tau2: a model plays its user; set user_model, e.g. user_model.name=qwen2.5-coder-1.5b")
        return Tau2Environment(domain, task, user)

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return none: τ²-bench has no task to spare."""
        return ()


@lru_cache(maxsize=8)
def _tasks(domain: str) -> dict[str, Any]:
    return {str(task.id): task for task in load_module("registry").registry.get_tasks_loader(domain)(None)}


@lru_cache(maxsize=8)
def _splits(domain: str) -> dict[str, tuple[str, ...]]:
    if domain not in DOMAINS:
        raise BadInput(f"tau2: no domain {domain!r}; known: {', '.join(DOMAINS)}")
    loader = load_module("registry").registry.get_task_splits_loader(domain)
    published = {} if loader is None else loader()
    wanted = {name: tuple(map(str, ids)) for name, ids in published.items() if name in (BASE, "train", "test")}
    return {BASE: tuple(_tasks(domain)), **wanted}
