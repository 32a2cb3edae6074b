"""The benchmark ``helpdesk``: its domains, splits and demonstrations."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from fama.envs.base import Environment, UserModel
from fama.envs.helpdesk.engine import BUSY, HelpdeskEnvironment
from fama.envs.helpdesk.gold import play
from fama.envs.helpdesk.task_mix import DOMAINS, LISTED, SPLITS, parse_id
from fama.envs.helpdesk.task_records import Domain, Task
from fama.envs.helpdesk.tasks import build_task, check_id, demonstration_ids, generator_of
from fama.envs.helpdesk.user.llm import llm_user
from fama.envs.helpdesk.user.phrase_sets import (
    FIRST,
    PhraseSet,
    check_split,
    draw_set,
    load_phrase_set,
    may_be_heard,
    mixed_sets,
)
from fama.envs.helpdesk.user.scripted_user import ScriptedUser
from fama.episodes.records import Message
from fama.errors import BadInput

T = TypeVar("T")
#: One a domain, so that a change of one keeps the results of the other.
VERSIONS = {"shop": "helpdesk-2.0", "saas": "helpdesk-2.0"}
#: Of the same tasks where every user speaks from the first phrase set, as all did until then.
FIRST_VERSIONS = {"shop": "helpdesk-1.1", "saas": "helpdesk-1.3"}


class Helpdesk:
    """Customer care in two domains; tasks are generated from their ids."""

    name = "helpdesk"

    def __init__(self, phrases: str | Sequence[str] | None = None) -> None:
        """Take the set of user phrases, or several, of which each episode draws one; None takes those of the split.

        Raises:
            BadInput: a set does not exist or is not complete.
        """
        if phrases is None:
            self._sets: tuple[PhraseSet, ...] | None = None
            return
        names = [phrases] if isinstance(phrases, str) else list(phrases)
        if not names or len(set(names)) < len(names):
            raise BadInput("helpdesk: options.phrases names no set, or one twice; give one name, or a list of them")
        self._sets = tuple(load_phrase_set(name) for name in names)

    def version(self, domain: str) -> str:
        """Return the version of a domain's tasks, frozen once its test split has been measured.

        Raises:
            BadInput: the domain is unknown.
        """
        generator_of(domain)
        if self._sets is None:
            return VERSIONS[domain]
        if self._sets == (load_phrase_set(FIRST),):
            return FIRST_VERSIONS[domain]
        return f"{FIRST_VERSIONS[domain]}/{'+'.join(f'{spoken.name}-{spoken.digest[:6]}' for spoken in self._sets)}"

    def domains(self) -> Sequence[str]:
        """Return the shop, and the software company."""
        return DOMAINS

    def splits(self, domain: str) -> Sequence[str]:
        """Return one split for each use: dev for wording and tuning, train for outcome tables, test for results.

        Splits on which the chosen phrase sets may not be heard are left out.

        Raises:
            BadInput: the domain is unknown.
        """
        generator_of(domain)
        return tuple(split for split in SPLITS if may_be_heard(self._spoken(split), split))

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return the first 1,000 tasks of a split.

        Raises:
            BadInput: the domain or the split is unknown, or a phrase set is kept for another split.
        """
        generator_of(domain)
        if split not in SPLITS:
            raise BadInput(f"helpdesk: unknown split {split!r}; known: {', '.join(SPLITS)}")
        check_split(self._spoken(split), split)
        return tuple(f"{domain}-{split}-{number:04d}" for number in range(LISTED))

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task; ``user`` plays the customer instead of the script.

        Raises:
            BadInput: the domain or the task is unknown, or a phrase set is kept for another split.
        """
        source = generator_of(domain)
        check_split(self._spoken(check_id(domain, task_id)), check_id(domain, task_id))
        make = self._scripted if user is None else llm_user(user, self._drawn)
        return HelpdeskEnvironment(source.domain, build_task(domain, task_id), make)

    def _scripted(self, domain: Domain, task: Task, seed: int) -> ScriptedUser:
        return ScriptedUser(domain, task, seed, self._drawn(domain, task, seed))

    def _drawn(self, domain: Domain, task: Task, seed: int) -> PhraseSet:
        spoken = self._spoken(parse_id(domain.name, task.task_id)[0])
        return draw_set(spoken, seed, task.task_id)

    def _spoken(self, split: str) -> tuple[PhraseSet, ...]:
        return mixed_sets(split) if self._sets is None else self._sets

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return two reference conversations on tasks of no split, without refusal, correction or tool error.

        Raises:
            BadInput: the domain is unknown.
        """
        return tuple(_conversation(domain, task_id) for task_id in demonstration_ids(domain))


def _conversation(domain: str, task_id: str) -> tuple[Message, ...]:
    task = build_task(domain, task_id)
    environment = HelpdeskEnvironment(generator_of(domain).domain, task)
    seed = 0
    while True:
        messages = _finish(play(environment, task.gold, seed)).messages
        if not any(BUSY in (message.content or "") for message in messages):
            return messages
        seed += 1


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that waits for nothing, as playing with the scripted user does."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the scripted user never waits")
