"""A user played by a chat model, given the same slots and wishes as the scripted one."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from fama.envs.base import UserModel
from fama.envs.helpdesk.engine import UserFactory
from fama.envs.helpdesk.task_records import Domain, Task
from fama.envs.helpdesk.user.phrase_sets import PhraseSet
from fama.envs.helpdesk.user.phrasing import pick
from fama.envs.helpdesk.user.recognition import straight
from fama.envs.helpdesk.user.scripted_user import ScriptedUser, SimulatedUser, UserReply
from fama.envs.user_model import ask_user
from fama.prompts import render_text
from fama.randomness import derive_seed, generator

MAX_TURNS = 20
_YES = re.compile(r"\b(?:yes|yep|yeah|sure|go ahead|please do|correct|confirm(?:ed)?|that's right|ok(?:ay)?)\b", re.I)
_NO = re.compile(r"\b(?:no|nope|not|don't|wrong|instead|wait|but|meant)\b", re.I)
#: Words of _NO that object to nothing: "Yes, please. No other changes."
_NOTHING_MORE = re.compile(
    r"\b(?:no (?:other|further|more|problem|worries|rush)|(?:don't|do not) (?:need|want|have) any\w*)\b", re.I
)


class LlmUser:
    """Words come from the model; its opening from the templates, so that the task is stated in full.

    It consents with a plain yes to words about a change, or to a proposal that names none; a yes to the question who it
    is consents to nothing. It hangs up after ``MAX_TURNS`` turns.
    """

    def __init__(self, domain: Domain, task: Task, seed: int, player: UserModel, phrase_set: PhraseSet) -> None:
        self._domain = domain
        self._task = task
        self._seed = seed
        self._player = player
        self._scripted = ScriptedUser(domain, task, seed, phrase_set)
        self._messages: list[dict[str, Any]] = []

    async def opening(self) -> UserReply:
        """Return the first message, from the templates."""
        first = await self._scripted.opening()
        self._messages = [
            {"role": "system", "content": self._prompt()},
            {"role": "user", "content": "Hello, how can I help you?"},
            {"role": "assistant", "content": first.text},
        ]
        return first

    async def reply(self, text: str) -> UserReply:
        """Return the model's answer.

        Raises:
            UserFault: the model failed or said nothing.
        """
        turn = len(self._messages) // 2
        if turn > MAX_TURNS:
            return UserReply("I have to go now, bye.", done=True)
        self._messages.append({"role": "user", "content": text})
        seed = derive_seed(self._seed, "helpdesk.llm_user", self._task.task_id, turn)
        answer = await ask_user(self._player, self._messages, seed)
        words = answer.text.strip()
        self._messages.append({"role": "assistant", "content": words})
        return UserReply(words, self._consents(text, words), ledger=(answer.usage,))

    def _consents(self, text: str, words: str) -> frozenset[int]:
        words = straight(words)
        if not _YES.search(words) or _NO.search(_NOTHING_MORE.sub("", words)):
            return frozenset()
        heard, identity = self._scripted.hear(text), self._task.identity
        changing = [i for i, goal in enumerate(self._task.goals) if goal.change]
        about = [i for i in changing if re.search(self._task.goals[i].words, text, re.I)]
        if about:
            asked_who = not identity.keys().isdisjoint(heard.asked)
            return frozenset() if asked_who and not heard.strong else frozenset(about)
        told_who = any(value.casefold() in text.casefold() for value in identity.values())
        return frozenset(changing) if heard.proposal and not told_who else frozenset()

    def _prompt(self) -> str:
        rng = generator(self._seed, "helpdesk.llm_user", self._task.task_id)
        goals = self._task.goals
        facts = [*self._task.identity.items()]
        for goal in goals:
            facts += [(slot.replace("_", " "), value) for slot, value in goal.wish.items()]
        wishes = [pick(self._scripted.phrases, goal.phrase, rng, dict(goal.wish)) for goal in goals]
        corrections = [
            (goal.first[goal.fix_slot], goal.wish[goal.fix_slot], goal.fix_when) for goal in goals if goal.fix_slot
        ]
        return render_text(
            _template(),
            wants=wishes,
            facts=list(dict.fromkeys(facts)),
            corrections=corrections,
            pushes=any(goal.pushes for goal in goals),
        )


def llm_user(player: UserModel, draw: Callable[[Domain, Task, int], PhraseSet]) -> UserFactory:
    """Return the factory with which a helpdesk environment lets a chat model play its user.

    ``draw`` returns the phrase set in which an episode's task is stated, by domain, task and seed.
    """

    def make(domain: Domain, task: Task, seed: int) -> SimulatedUser:
        return LlmUser(domain, task, seed, player, draw(domain, task, seed))

    return make


@lru_cache(maxsize=1)
def _template() -> str:
    return (Path(__file__).parent / "llm.v1.j2").read_text(encoding="utf-8")
