"""Every model in front of another one has its properties; a new class that answers requests has to be listed here."""

import ast
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from eval.compare.lazy_models import LazyModel
from fama.diagnosis.judge_model import SampledJudge
from fama.episodes.records import LedgerRow
from fama.mining.meter import Meter, Metered
from fama.mining.settings import MineBudget
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.cache import CachedChat
from fama.models.prefix import AgentRequest, Question
from fama.models.scripted import SCRIPTED
from fama.models.wrapper import ModelWrapper
from fama.settings import ModelSettings

REPOSITORY = Path(__file__).parents[2]
#: Answer by themselves, or stand for a user, whom nobody asks with an opening.
NO_WRAPPERS = {
    "ChatModel",
    "LoggedUser",
    "OpenAIChat",
    "RecordedUser",
    "ScriptedModel",
    "UnconnectedModel",
    "VllmBatch",
    "_LeavingUser",
}
WRAPPERS: dict[str, Callable[[ChatModel, Path], ChatModel]] = {
    "CachedChat": CachedChat,
    "Metered": lambda model, folder: Metered(model, Meter(MineBudget())),
    "ModelWrapper": lambda model, folder: ModelWrapper(model),
    "SampledJudge": lambda model, folder: SampledJudge(model, ModelSettings(max_tokens=2000)),
}
REQUEST = AgentRequest(({"role": "user", "content": "hi"},))
QUESTION = Question("What next?", "Rule:", 20)


class InWords:
    """A model whose server is asked for an opening in words."""

    name = "in-words"
    continues_prefill = False

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer."""
        return ChatReply("Rule: wait", LedgerRow(role=request.role, model=self.name))


def test_every_class_that_answers_requests_is_known() -> None:
    found = {
        node.name
        for package in ("fama", "eval", "training")
        for path in (REPOSITORY / package).rglob("*.py")
        if "async def complete(self, request" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(one, ast.AsyncFunctionDef) and one.name == "complete" for one in node.body)
    }
    assert found - NO_WRAPPERS - {"LazyModel"} <= set(WRAPPERS)


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_a_wrapper_is_asked_as_the_model_behind_it(name: str, tmp_path: Path) -> None:
    wrapper = WRAPPERS[name](InWords(), tmp_path)
    assert isinstance(wrapper, ModelWrapper)
    assert wrapper.name == "in-words"
    assert QUESTION.put_to(wrapper, REQUEST, "helper:x") == QUESTION.put_to(InWords(), REQUEST, "helper:x")


async def test_a_lazy_model_is_asked_as_the_model_that_it_connects_to() -> None:
    wanted = QUESTION.put_to(InWords(), REQUEST, "helper:x")
    SCRIPTED.add("in-words", InWords())  # type: ignore[arg-type]
    try:
        async with AsyncExitStack() as stack:
            stated = LazyModel(ModelSettings(name="scripted:in-words", prefill="words"), stack)
            assert QUESTION.put_to(stated, REQUEST, "helper:x") == wanted
            lazy = LazyModel(ModelSettings(name="scripted:in-words"), stack)
            await lazy.complete(wanted)
            assert QUESTION.put_to(lazy, REQUEST, "helper:x") == wanted
    finally:
        SCRIPTED.remove("in-words")
