"""The scripted user: it answers what it is asked from its slots, and volunteers nothing."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from fama.envs.helpdesk.stated_facts import states_fact
from fama.envs.helpdesk.task_records import Check, Domain, Goal, Task
from fama.envs.helpdesk.user.phrase_sets import FIRST, PhraseSet, load_phrase_set
from fama.envs.helpdesk.user.phrasing import pick, sentence
from fama.envs.helpdesk.user.recognition import Heard, understand
from fama.episodes.records import LedgerRow
from fama.randomness import generator

PATIENCE = 6
#: What a thing is called by those who do not know its number, and the slot of that number.
_UNNUMBERED = {"item": "order", "month": "invoice", "person": "user_id"}


@dataclass(frozen=True)
class UserReply:
    """The user's words. ``consents`` are the indices of the goals it says yes to; ``done`` when it hangs up."""

    text: str
    consents: frozenset[int] = frozenset()
    done: bool = False
    ledger: tuple[LedgerRow, ...] = ()


class SimulatedUser(Protocol):
    """Anything that plays the user of one episode."""

    async def opening(self) -> UserReply:
        """Return the first message."""
        ...

    async def reply(self, text: str) -> UserReply:
        """Return the answer to the agent's words.

        Raises:
            UserFault: the user cannot go on.
        """
        ...


class ScriptedUser:
    """Deterministic from the task, the seed and what the agent says."""

    def __init__(self, domain: Domain, task: Task, seed: int, phrase_set: PhraseSet | None = None) -> None:
        self.phrases = (phrase_set or load_phrase_set(FIRST)).domains[domain.name]
        self._domain = domain
        self._task = task
        self._seed = seed
        self._turn = 0
        self._useless = 0
        self._answered: Counter[str] = Counter()
        self._corrected = {i for i, goal in enumerate(task.goals) if not goal.fix_slot}
        self._settled: set[int] = set()
        self._agreed: set[int] = set()
        self._pushed: set[int] = set()

    async def opening(self) -> UserReply:
        """Return the first message: a greeting, what it wants, sometimes why."""
        rng = self._rng()
        parts: list[str] = []
        if rng.random() < 0.8:
            parts.append(self._pick("greeting", rng))
        wants = self._request(0, rng)
        if len(self._task.goals) > 1:
            wants = self._pick("join", rng, {"one": sentence(wants), "two": self._verb(1, rng)})
        parts.append(sentence(wants))
        for i, goal in enumerate(self._task.goals):
            if "reason" in goal.told:
                parts.append(sentence(self._pick(f"reason_{self._now(i)['reason']}", rng)))
        if rng.random() < 0.45:
            parts.append(self._pick("filler", rng))
        return UserReply(" ".join(parts))

    async def reply(self, text: str) -> UserReply:
        """Return the answer to the agent's words; after too many useless turns it hangs up."""
        self._turn += 1
        rng = self._rng()
        heard = self.hear(text)
        told = self._notice_facts(text)
        reply, useful = self._react(replace(heard, report=heard.report or told), text, rng)
        self._useless += not useful
        if self._useless >= PATIENCE:
            return UserReply(self._pick("hang_up", rng), done=True)
        return reply

    def answerable(self) -> dict[str, str]:
        """Return the slots that it answers when asked, each with the pattern of words that ask for it."""
        return {slot: pattern for slot, pattern in self._domain.asks.items() if self._can_answer(slot)}

    def hear(self, text: str) -> Heard:
        """Return its understanding of the agent's words at this point of the conversation; nothing changes."""
        return understand(text, self.answerable(), self._domain.identity, self._stated(text))

    # -- what it does ------------------------------------------------------------------------------------------------

    def _react(self, heard: Heard, text: str, rng: Random) -> tuple[UserReply, bool]:
        if heard.refusing:
            return self._refused(heard, rng)
        if heard.asked:
            answer, useful = self._answers(heard.asked, rng)
            if heard.strong and not set(heard.asked) & set(self._domain.identity):
                yes, _ = self._proposed(text, rng)
                return UserReply(f"{answer} {yes.text}", yes.consents), useful
            return UserReply(answer), useful
        again = self._agreed and text.rstrip().endswith("?") and not heard.more
        if heard.proposal and (self._open() or again):
            return self._proposed(text, rng)
        asked = any(re.search(pattern, text, re.I) for pattern in self._domain.asks.values())
        if (heard.stranger or (asked and "?" in text)) and not heard.more:
            return UserReply(self._pick("no_idea", rng)), self._count("no_idea", 1)
        if heard.more:
            return self._more(rng)
        if heard.report or heard.proposal or not (self._open() or heard.wait or "?" in text):
            return UserReply(self._pick("thanks", rng)), self._count("thanks", 2)
        if heard.wait:
            return UserReply(self._pick("waiting", rng)), self._count("waiting", 1)
        return UserReply(self._pick("unsure", rng, {"verb": self._verb(self._first_open(), rng)})), False

    def _refused(self, heard: Heard, rng: Random) -> tuple[UserReply, bool]:
        refusing = " ".join(heard.refusing)
        goals = self._about(refusing, self._open()) or self._open()
        goals = [i for i in goals if self._names(i, refusing)] or goals
        pushing = [i for i in goals if self._task.goals[i].pushes and i not in self._pushed]
        if pushing:
            self._pushed.update(pushing)
            return UserReply(self._pick("push", rng)), True
        self._settled.update(goals)
        reply = UserReply(self._pick("accept", rng))
        rest = " ".join(heard.other)
        others = self._about(rest, self._open())
        if heard.strong and others:
            yes, _ = self._proposed(rest, rng)
            return UserReply(f"{reply.text} {yes.text}", yes.consents), True
        if heard.more and self._open():
            return UserReply(f"{reply.text} {self._more(rng)[0].text}"), True
        return reply, bool(goals) or self._count("accept", 2)

    def _answers(self, asked: tuple[str, ...], rng: Random) -> tuple[str, bool]:
        parts = [self._answer(slot, rng) for slot in asked if not self._said_with(slot, asked)]
        useful = any([self._count(slot, 2) for slot in asked])
        if set(asked) & set(self._domain.identity):
            for i, goal in enumerate(self._task.goals):
                if goal.fix_when == "identity" and i not in self._corrected:
                    parts.append(self._correct(i, rng))
        return " ".join(dict.fromkeys(parts)), useful

    def _answer(self, slot: str, rng: Random) -> str:
        if slot in self._task.identity:
            return sentence(self._pick(f"answer_{slot}", rng, dict(self._task.identity)))
        goals = self._open() or list(range(len(self._task.goals)))
        known = [i for i in goals if slot in self._now(i)]
        if not known:
            name = f"unknown_{slot}"
            if name not in self.phrases:
                return self._pick("no_idea", rng)
            described = next((d for d, number in _UNNUMBERED.items() if number == slot), None)
            if described is None:
                return sentence(self._pick(name, rng))
            able = [i for i in goals if described in self._now(i)]
            return self._each(able, described, lambda i: name, rng) if able else self._pick("no_idea", rng)
        return self._each(known, slot, lambda i: self._template(slot, self._now(i)[slot]), rng)

    def _said_with(self, slot: str, asked: tuple[str, ...]) -> bool:
        """Return whether the description is part of the answer to a number that the user does not know."""
        number = _UNNUMBERED.get(slot)
        return number in asked and not any(number in self._now(i) for i in self._open())

    def _template(self, slot: str, value: str) -> str:
        name = f"{slot}_{value}"
        return name if name in self.phrases else f"answer_{slot}"

    def _each(self, goals: list[int], slot: str, template: Callable[[int], str], rng: Random) -> str:
        """Return the answer once, or once per goal where the goals' values differ."""
        values = {self._now(i)[slot] for i in goals}
        said = []
        for i in goals if len(values) > 1 else goals[:1]:
            answer = self._pick(template(i), rng, self._now(i))
            said.append(
                sentence(
                    f"for {self._pick('topic_' + self._task.goals[i].kind, rng)}: {answer}"
                    if len(values) > 1
                    else answer
                )
            )
        return " ".join(said)

    def _proposed(self, text: str, rng: Random) -> tuple[UserReply, bool]:
        changing = [i for i in self._open() or sorted(self._agreed) if self._task.goals[i].change]
        goals = self._about(text, changing)
        if not goals and not self._stated(text) & set(self._task.identity):
            goals = changing  # "Shall I go ahead?" is about all that is open, "Is this your e-mail?" about nothing
        if not goals:
            return UserReply(self._pick("agree", rng)), self._count("yes", 2)
        conditional = matched = False
        for i in goals:
            for check in self._task.goals[i].checks:
                found = self._found(check, text)
                if not found:
                    continue
                wanted = {self._now(j)[check.slot].casefold() for j in goals if check.slot in self._now(j)}
                if not check.known:
                    conditional = True
                elif found & wanted:
                    matched = True
                else:
                    return UserReply(self._reject(i, check, rng)), self._count(f"reject {i}", 3)
        for i in goals:
            if i not in self._corrected:
                return UserReply(self._correct(i, rng)), True
        new = not self._settled.issuperset(goals)
        self._settled.update(goals)
        self._agreed.update(goals)
        if conditional and not matched:
            slots = [(slot, now[slot]) for now in map(self._now, goals) for slot in _UNNUMBERED if slot in now]
            said = " and ".join(self._noun(*slot, rng) for slot in dict.fromkeys(slots))
            return UserReply(self._pick("agree_if", rng, {"item": said}), frozenset(goals)), new
        return UserReply(self._pick("agree", rng), frozenset(goals)), new

    def _can_answer(self, slot: str) -> bool:
        if slot in self._task.identity or any(slot in self._now(i) for i in range(len(self._task.goals))):
            return True
        described = next((name for name, number in _UNNUMBERED.items() if number == slot), None)
        if described is not None:
            return any(described in self._now(i) for i in range(len(self._task.goals)))
        return f"unknown_{slot}" in self.phrases

    def _more(self, rng: Random) -> tuple[UserReply, bool]:
        left = self._open()
        if not left:
            return UserReply(self._pick("that_is_all", rng)), self._count("more", 2)
        return UserReply(sentence(self._request(left[0], rng))), self._count("request", 3)

    # -- what it knows -----------------------------------------------------------------------------------------------

    def _rng(self) -> Random:
        return generator(self._seed, "helpdesk.user", self._task.task_id, self._turn)

    def _now(self, i: int) -> dict[str, str]:
        goal = self._task.goals[i]
        return {**goal.wish, **({} if i in self._corrected else goal.first)}

    def _open(self) -> list[int]:
        return [i for i in range(len(self._task.goals)) if i not in self._settled]

    def _first_open(self) -> int:
        return next(iter(self._open()), 0)

    def _about(self, text: str, goals: list[int]) -> list[int]:
        return [i for i in goals if re.search(self._task.goals[i].words, text, re.I)]

    def _names(self, i: int, text: str) -> bool:
        """Return whether the words name what the goal is about."""
        now = self._now(i)
        return any(now.get(c.slot, "").casefold() in self._found(c, text) for c in self._task.goals[i].checks)

    def _found(self, check: Check, text: str) -> set[str]:
        return {m.group().casefold() for m in re.finditer(check.pattern, text, re.I)} - check.neutral

    def _stated(self, text: str) -> frozenset[str]:
        low = text.casefold()
        slots = {slot for slot, value in self._task.identity.items() if value.casefold() in low}
        for i in range(len(self._task.goals)):
            slots |= {slot for slot, value in self._now(i).items() if value.casefold() in low}
            slots |= {check.slot for check in self._task.goals[i].checks if self._found(check, text)}
        return frozenset(slots)

    def _notice_facts(self, text: str) -> bool:
        """Return whether the words tell what a goal is to tell; a question is settled by that."""
        told = [i for i, goal in enumerate(self._task.goals) if all(states_fact(text, fact) for fact in goal.facts)]
        self._settled.update(i for i in told if self._task.goals[i].change is None)
        return bool(told)

    def _count(self, key: str, limit: int) -> bool:
        self._answered[key] += 1
        return self._answered[key] <= limit

    # -- how it says it ----------------------------------------------------------------------------------------------

    def _pick(self, name: str, rng: Random, slots: dict[str, str] | None = None) -> str:
        return pick(self.phrases, name, rng, slots or {})

    def _verb(self, i: int, rng: Random) -> str:
        return self._pick(self._task.goals[i].phrase, rng, self._now(i))

    def _request(self, i: int, rng: Random) -> str:
        return self._pick("lead_in", rng, {"verb": self._verb(i, rng)})

    def _noun(self, slot: str, value: str, rng: Random) -> str:
        return self._pick(f"noun_{slot}", rng, {"value": value})

    def _reject(self, i: int, check: Check, rng: Random) -> str:
        return self._pick("reject", rng, {"new": self._noun(check.slot, self._now(i)[check.slot], rng)})

    def _correct(self, i: int, rng: Random) -> str:
        goal: Goal = self._task.goals[i]
        slot = goal.fix_slot
        self._corrected.add(i)
        old, new = self._noun(slot, goal.first[slot], rng), self._noun(slot, goal.wish[slot], rng)
        return self._pick("correct", rng, {"old": old, "new": new})
