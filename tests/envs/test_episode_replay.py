"""Playing logged episodes again: several calls in one message, and what an environment begins with."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest

from fama.envs.base import Action, Environment, Observation, Reward, UserModel
from fama.envs.episode_replay import replay
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.user_model import ask_user
from fama.episodes.records import Episode, FunctionCall, Message, Outcome, ToolCall
from fama.episodes.store import read_episodes
from fama.errors import UserFault

GREETING = Message(role="assistant", content="Hi!")
BYE = "bye"
TRAIN = Path(__file__).parents[2] / "results/helpdesk/plain-train-mixed"


class Desk:
    """Greets, asks a model for the user's words, and is solved once A and B are filed."""

    policy = "File what the user names."
    tools = ()

    def __init__(self, user: UserModel) -> None:
        self._user = user
        self._said: list[dict[str, str]] = []
        self._filed: list[object] = []

    async def reset(self, seed: int) -> Observation:
        words = await self._listen("Hi!")
        return Observation("user", words, before=(GREETING,))

    async def step(self, action: Action) -> Observation:
        if action.tool is None:
            words = await self._listen(action.text)
            return Observation("user", words, done=words == BYE)
        self._filed.append(action.arguments.get("name"))
        return Observation("tool", f"filed {action.arguments.get('name')}")

    def outcome(self) -> Reward:
        return Reward(done := self._filed == ["A", "B"], float(done))

    async def _listen(self, text: str) -> str:
        self._said.append({"role": "user", "content": text})
        reply = await ask_user(self._user, self._said, 0)
        self._said.append({"role": "assistant", "content": reply.text})
        return reply.text


class Desks:
    """One task."""

    name = "desks"

    def version(self, domain: str) -> str:
        return "desks-1"

    def domains(self) -> Sequence[str]:
        return ("d",)

    def splits(self, domain: str) -> Sequence[str]:
        return ("test",)

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        return ("t",)

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        assert user is not None
        return Desk(user)

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        return ()


def _file(name: str) -> ToolCall:
    return ToolCall(id=name, function=FunctionCall(name="file", arguments=f'{{"name": "{name}"}}'))


def _result(name: str, text: str | None = None) -> Message:
    return Message(role="tool", content=text or f"filed {name}", tool_call_id=name)


def _logged(*messages: Message) -> Episode:
    return Episode(
        id="e",
        benchmark="desks",
        domain="d",
        task_id="t",
        messages=(Message(role="system", content="p"), *messages),
        outcome=Outcome(status="success", reason="user_stop"),
        reward=1.0,
    )


ASKS, THANKS = Message(role="user", content="A and B, please"), Message(role="user", content=BYE)
DONE = Message(role="assistant", content="Done.")
BOTH = Message(role="assistant", tool_calls=(_file("A"), _file("B")))


@pytest.mark.parametrize("opening", [(GREETING,), ()])
@pytest.mark.parametrize("results", [(_result("A"), _result("B")), (_result("B"), _result("A"))])
async def test_every_call_of_a_message_is_carried_out_and_no_greeting_twice(
    opening: tuple[Message, ...], results: tuple[Message, ...]
) -> None:
    replayed = await replay(Desks(), _logged(*opening, ASKS, BOTH, *results, DONE, THANKS))
    assert (replayed.reward, replayed.difference) == (1.0, "")


async def test_an_answer_that_differs_is_told_at_its_own_message() -> None:
    logged = _logged(GREETING, ASKS, BOTH, _result("A"), _result("B", "Error: full"), DONE, THANKS)
    assert (await replay(Desks(), logged)).difference == "message 5: the tool file answers otherwise than in the log"


async def test_a_call_whose_result_the_log_lacks_does_not_differ() -> None:
    assert (await replay(Desks(), _logged(GREETING, ASKS, BOTH, _result("A"), DONE, THANKS))).agrees


async def test_words_that_end_an_episode_are_said_and_a_cut_log_ends_before_an_answer() -> None:
    class Closing(Desk):
        async def step(self, action: Action) -> Observation:
            if action.tool is None and action.text == BYE:
                self._filed = ["A", "B"]
                return Observation("user", None, done=True)
            return await super().step(action)

    class Closings(Desks):
        def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
            assert user is not None
            return Closing(user)

    said = Message(role="assistant", content=BYE)
    assert (await replay(Closings(), _logged(GREETING, ASKS, said))).reward == 1.0
    cut = _logged(GREETING, ASKS, BOTH, _result("A"), _result("B"), DONE)
    assert (await replay(Desks(), cut)).reward == 1.0
    with pytest.raises(UserFault):
        await replay(Desks(), _logged(GREETING, ASKS, DONE, DONE, Message(role="user", content="Hm.")))


async def test_a_scripted_user_speaks_again_with_the_seed_of_the_episode() -> None:
    """The committed plain run of training tasks: rewards, and what every tool answered, as recorded."""
    episodes = list(islice(read_episodes(TRAIN), 4))
    assert {episode.seeds["environment"] for episode in episodes} != {0}
    for episode in episodes:
        again = await replay(Helpdesk(), episode)
        assert (again.agrees, again.difference) == (True, "")
