"""Toy checkouts of τ-bench: files of the same shape, and how to forget that they were imported."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fama.envs.tau_bench import benchmark as adapter

#: The files of the package, by their path in it.
TOY = {
    "__init__.py": "",
    "types.py": """
class Action:
    def __init__(self, name, kwargs): self.name, self.kwargs = name, kwargs
""",
    "envs/__init__.py": "",
    "envs/base.py": "",
    "envs/user.py": """
class LLMUserSimulationEnv:
    def __init__(self): raise AssertionError('would call a model')
    def build_system_prompt(self, instruction): return f'You are a user. {instruction}'
""",
    "envs/airline/__init__.py": """
from types import SimpleNamespace as N
from tau_bench.types import Action
class MockAirlineDomainEnv:
    def __init__(self, user_strategy, user_model, task_split, task_index):
        assert user_strategy == 'human'
        print('noise')
        gold = [[Action('cancel', {'id': str(i)})] for i in range(3)]
        self.tasks = [N(instruction=f'Cancel flight {i}.', actions=actions) for i, actions in enumerate(gold)]
        self.task, self.data, self.actions = self.tasks[task_index], set(), []
        self.wiki = 'Toy policy'
        self.tools_info = [{'type': 'function', 'function': {'name': 'cancel', 'description': 'd', 'parameters': {}}}]
    def step(self, action):
        self.actions.append(action)
        done = action.name == 'transfer_to_human_agents'
        if action.name == 'cancel':
            self.data.add(action.kwargs['id'])
            said = 'cancelled'
        else:
            said = f'Unknown action {action.name}'
        info = N(reward_info=self.calculate_reward() if done else None)
        return N(observation=said, done=done, info=info)
    def calculate_reward(self):
        right = float(self.data == {a.kwargs['id'] for a in self.task.actions})
        return N(reward=right, info=N(r_actions=right))
""",
}


def forget() -> None:
    """Make the next test import its own checkout."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("tau_bench", "tau_trait")]:
        del sys.modules[name]
    adapter._module.cache_clear()
    adapter._loaded.cache_clear()
    adapter._snapshot.cache_clear()


_BASE = """
from hashlib import sha256
def to_hashable(item):
    if isinstance(item, dict):
        return tuple((key, to_hashable(value)) for key, value in sorted(item.items()))
    return tuple(to_hashable(one) for one in item) if isinstance(item, list) else item
"""
#: An airline whose flights have seats; HASHED stands for what its hash is of.
_AIRLINE = """
from types import SimpleNamespace as N
from tau_bench.types import Action
from tau_bench.envs.base import sha256, to_hashable
LOADED = []
def load_data():
    LOADED.append(1)
    return {'flights': {str(i): {'seats': 2, 'dates': []} for i in range(3)}}
class MockAirlineDomainEnv:
    def __init__(self, user_strategy, user_model, task_split, task_index):
        self.data_load_func, self.data = load_data, load_data()
        self.tasks = [N(instruction=f'Book {i}.', actions=[Action('book', {'id': str(i)})]) for i in range(3)]
        self.task_index, self.task, self.actions = task_index, self.tasks[task_index], []
        self.wiki, self.tools_info = 'Toy', []
    def step(self, action):
        self.actions.append(action)
        flight = self.data['flights'][action.kwargs['id']]
        flight['seats'] -= 1
        flight['dates'].append('today')
        return N(observation=str(flight), done=False, info=N(reward_info=None))
    def get_data_hash(self):
        return sha256(str(HASHED).encode()).hexdigest()
    def calculate_reward(self):
        mine = self.get_data_hash()
        self.data = self.data_load_func()
        for action in self.task.actions:
            self.step(action)
        right = float(mine == self.get_data_hash())
        return N(reward=right, info=N(r_actions=right))
"""
#: The benchmark's own way to hash data.
BY_RULE = "to_hashable(self.data)"


@contextmanager
def airline(folder: Path, hashed: str = BY_RULE) -> Iterator[None]:
    """Make a checkout whose airline has data the one that is found, for the length of the block."""
    files = {**TOY, "envs/base.py": _BASE, "envs/airline/__init__.py": _AIRLINE.replace("HASHED", hashed)}
    with checkout(folder, files):
        yield


@contextmanager
def checkout(folder: Path, files: Mapping[str, str] = TOY) -> Iterator[None]:
    """Make a checkout the one that is found, for the length of the block."""
    for name, text in files.items():
        path = folder / "clone" / "tau_bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAMA_TAU_BENCH", str(folder / "clone"))
        patch.setattr(sys, "path", list(sys.path))
        forget()
        yield
        forget()
