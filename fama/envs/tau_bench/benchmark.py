"""The benchmarks ``tau_bench`` and ``tau_trait``, from checkouts that the user names."""

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, ClassVar

from fama.envs.base import Environment, UserModel
from fama.envs.checkouts import on_path, version_of
from fama.envs.tau_bench.snapshot import Snapshot
from fama.envs.tau_bench.world import TauEnvironment, silence_prints
from fama.episodes.keys import TRAITS
from fama.episodes.records import Message
from fama.errors import BadInput

#: Splits in which each domain has tasks.
_ONE: tuple[str, ...] = ("test",)
_THREE: tuple[str, ...] = ("test", "train", "dev")


class TauBench:
    """Airline and retail. Tasks of the test split are called by their number, as in the benchmark's logs."""

    name = "tau_bench"
    _domains: ClassVar[Mapping[str, tuple[str, ...]]] = {"airline": _ONE, "retail": _THREE}
    _traits: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._version = version_of(self.name)

    def version(self, domain: str) -> str:
        """Return the installed code's version, the same for every domain."""
        return self._version

    def domains(self) -> Sequence[str]:
        """Return the domains; with traits also ``DOMAIN-TRAIT``, the same tasks with a user of that manner."""
        return tuple(name for domain in self._domains for name in (domain, *(f"{domain}-{t}" for t in self._traits)))

    def splits(self, domain: str) -> Sequence[str]:
        """Return the splits in which the domain has tasks."""
        return self._domains[self._parts(domain)[0]]

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return ``0``, ``1``, … for the test split, ``train-0``, … for the others.

        Raises:
            BadInput: the split is unknown.
        """
        if split not in self.splits(domain):
            raise BadInput(f"{self.name}: {domain} has no split {split!r}; known: {', '.join(self.splits(domain))}")
        count = _tasks(self.name, self._parts(domain)[0], split)
        return tuple(str(n) if split == "test" else f"{split}-{n}" for n in range(count))

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task.

        Raises:
            BadInput: the task is unknown, or no model plays the user.
        """
        plain, trait = self._parts(domain)
        split, _, number = task_id.rpartition("-")
        split = split or "test"
        if split not in self.splits(domain) or task_id not in self.task_ids(domain, split):
            raise BadInput(f"{self.name}: {domain} has no task {task_id!r}; ids look like 0 or train-0")
        if user is None:
            raise BadInput(f"{self.name}: a model plays its user; set user_model, e.g. user_model.name=NAME")
        return TauEnvironment(partial(_world, self.name, plain, split, int(number)), self._prompt, trait, user)

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return none."""
        return ()

    def _parts(self, domain: str) -> tuple[str, str | None]:
        plain, _, trait = domain.partition("-")
        if plain not in self._domains or (trait and trait not in self._traits):
            raise BadInput(f"{self.name}: no domain {domain!r}; known: {', '.join(self.domains())}")
        return plain, trait or None

    def _prompt(self, instruction: str) -> str:
        """Return the benchmark's instructions for the user; without its simulator, which would call a model at once."""
        simulator = _module(self.name, "envs.user").LLMUserSimulationEnv
        with silence_prints():
            return str(simulator.build_system_prompt(SimpleNamespace(steering_method=None), instruction))


class TauTrait(TauBench):
    """τ-trait: four domains, each also with a skeptical, confused, impatient or incoherent user.

    The persona is a paragraph in the user's prompt. The authors' steering service, which bends the weights of the
    user's model, is not called, so scores are not comparable with theirs; the domain's name says which manner was
    asked for.
    """

    name = "tau_trait"
    _domains: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "airline": _ONE,
        "retail": _THREE,
        "telecom": ("test", "train"),  # its file of the dev split has another name for the tasks
        "telehealth": _THREE,
    }
    _traits: ClassVar[tuple[str, ...]] = TRAITS


def _world(name: str, domain: str, split: str, number: int) -> Any:
    """Return the benchmark's own environment of a task, with data of its own.

    Its code reads and hashes the whole data anew for every episode and again for every verdict, which takes a second
    in airline. Here a domain is loaded once: see ``Snapshot``.
    """
    made, snapshot = _loaded(name, domain, split)
    if snapshot is None:
        return _made(name, domain, split, number)
    world = copy(made)
    world.task_index, world.task, world.actions = number, made.tasks[number], []
    world.data_load_func, world.data = snapshot.load, snapshot.load()
    world.get_data_hash = partial(_changes, world, snapshot)
    return world


def _changes(world: Any, snapshot: Snapshot) -> str:
    return snapshot.changes_hash(world.data)


@lru_cache(maxsize=32)
def _loaded(name: str, domain: str, split: str) -> tuple[Any, Snapshot | None]:
    """Return an environment to make others from, and its data; None where its code loads or hashes otherwise."""
    made = _made(name, domain, split, 0)
    to_hashable = getattr(_module(name, "envs.base"), "to_hashable", None)
    if to_hashable is None or not hasattr(made, "data_load_func"):
        return made, None
    snapshot = _snapshot(made.data_load_func, to_hashable)
    return made, snapshot if made.get_data_hash() == snapshot.whole_hash() else None


@lru_cache(maxsize=32)
def _snapshot(load: Callable[[], dict[str, Any]], to_hashable: Callable[[Any], Any]) -> Snapshot:
    return Snapshot(load, to_hashable)


def _made(name: str, domain: str, split: str, number: int) -> Any:
    made = getattr(_module(name, f"envs.{domain}"), f"Mock{domain.capitalize()}DomainEnv")
    return made(user_strategy="human", user_model="none", task_split=split, task_index=number)


def _tasks(name: str, domain: str, split: str) -> int:
    with silence_prints():
        return len(_loaded(name, domain, split)[0].tasks)


@lru_cache(maxsize=32)
def _module(name: str, module: str) -> Any:
    on_path(name)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm asks the network for prices
    try:
        return import_module(f"{name}.{module}")
    except ImportError as error:
        raise BadInput(f"benchmark {name}: {error}; pip install litellm==1.83.0 (its checkout imports it)") from error
