"""The benchmark ``acebench``, from a checkout that the user names."""

from collections.abc import Sequence

from fama.envs.acebench.task_files import AceTask, tasks
from fama.envs.acebench.world import AgentWorld, SingleWorld
from fama.envs.base import Environment, UserModel
from fama.envs.checkouts import version_of
from fama.episodes.records import Message
from fama.errors import BadInput

AGENT = ("agent_multi_turn", "agent_multi_step")
NORMAL = (
    "normal_single_turn_single_function",
    "normal_single_turn_parallel_function",
    "normal_multi_turn_user_adjust",
    "normal_multi_turn_user_switch",
    "normal_similar_api",
    "normal_preference",
    "normal_atom_bool",
    "normal_atom_enum",
    "normal_atom_number",
    "normal_atom_list",
    "normal_atom_object_deep",
    "normal_atom_object_short",
)
SPECIAL = ("special_incomplete", "special_error_param", "special_irrelevant")
_CHINESE = "-zh"


class AceBench:
    """A domain is a category, in English; with ``-zh`` the same in Chinese."""

    name = "acebench"

    def __init__(self) -> None:
        self._version = version_of(self.name)

    def version(self, domain: str) -> str:
        """Return the installed code's version, the same for every domain."""
        return self._version

    def domains(self) -> Sequence[str]:
        """Return the categories in both languages."""
        return tuple(name for category in (*AGENT, *NORMAL, *SPECIAL) for name in (category, category + _CHINESE))

    def splits(self, domain: str) -> Sequence[str]:
        """Return the one split: ACEBench has no training tasks."""
        return ("test",)

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return the ids of the benchmark, in the order of its file.

        Raises:
            BadInput: the domain is unknown.
        """
        return tuple(self._tasks(domain))

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task.

        Raises:
            BadInput: the task is unknown, or a dialogue has no model that plays the user.
        """
        task = self._tasks(domain).get(task_id)
        if task is None:
            raise BadInput(f"{self.name}: {domain} has no task {task_id!r}; ids look like agent_multi_turn_0")
        if task.category not in AGENT:
            return SingleWorld(task)
        if task.category == "agent_multi_turn" and user is None:
            raise BadInput(f"{self.name}: a model plays its user; set user_model, e.g. user_model.name=NAME")
        return AgentWorld(task, user)

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return none."""
        return ()

    def _tasks(self, domain: str) -> dict[str, AceTask]:
        if domain not in self.domains():
            raise BadInput(f"{self.name}: no domain {domain!r}; known: {', '.join(self.domains())}")
        category = domain.removesuffix(_CHINESE)
        return tasks(category, "zh" if domain.endswith(_CHINESE) else "en")
