"""A toy checkout of τ-bench: files of the same shape, and how to forget that it was imported."""

import sys

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
