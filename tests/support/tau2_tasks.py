"""Reference conversations of τ²-bench's tasks."""

from fama.envs.base import Action


def reference(domain: str, task_id: str) -> list[Action]:
    """The agent's reference actions of a task, and one sentence with everything that has to be told."""
    from tau2.registry import registry

    (task,) = (t for t in registry.get_tasks_loader(domain)(None) if str(t.id) == task_id)
    criteria = task.evaluation_criteria
    actions = [Action(tool=a.name, arguments=a.arguments) for a in criteria.actions or () if a.requestor == "assistant"]
    return [*actions, Action(tool=None, text=f"Done. {' '.join(criteria.communicate_info or ())}")]
