"""Every model in front of another one has its properties; a new class that answers requests has to be listed here."""

import ast
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import fama
from eval.compare.lazy_models import LazyModel, lazy_helper_model
from fama.agents.runs.stage import opened_stage
from fama.envs.base import BENCHMARKS
from fama.episodes.records import LedgerRow
from fama.mining.meter import Meter, Metered
from fama.mining.settings import MineBudget
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.cache import CachedChat
from fama.models.prefix import AgentRequest, Question
from fama.models.scripted import SCRIPTED
from fama.models.wrapper import ModelWrapper, SampledModel
from fama.settings import ExperimentSettings, HelperSettings, ModelSettings
from tests.support.fake_endpoint import Endpoint, said

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
    "SampledModel": lambda model, folder: SampledModel(model, {"max_tokens": 2000}),
}
#: Asked over HTTP, with more tokens per answer than a question has.
SERVED = {"name": "served", "temperature": 1.0, "top_p": 0.9, "max_tokens": 999}
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


async def test_helpers_are_asked_at_the_temperature_of_their_models_settings(endpoint: Endpoint) -> None:
    """Some models refuse 0, at which questions are asked by default; the backbone's own is the agent's."""
    endpoint.answers = [said("Rule: wait")]
    own = ModelSettings.model_validate({**SERVED, "base_url": endpoint.base_url})
    settings = ExperimentSettings(helper_model=own, tasks=1)
    backbone = ExperimentSettings(model=own, tasks=1)
    benchmark = BENCHMARKS.load("helpdesk")()
    asked = QUESTION.put_to(SCRIPTED.load("echo"), REQUEST, "helper:x")
    pool = HelperSettings(pool=("Memory",), form="llm", reading="patterns")
    async with AsyncExitStack() as stack:
        await lazy_helper_model(settings, stack).complete(asked)
        stage = await stack.enter_async_context(opened_stage(settings, benchmark, {}, model=InWords()))
        assert stage.context.model is not None
        await stage.context.model.complete(asked)
        advisor = stack.enter_context(fama.Advisor("all", helpers=pool, model=own))
        advisor._thread.wait(advisor._model.complete(asked))  # type: ignore[union-attr]
        await lazy_helper_model(backbone, stack).complete(asked)
    told = [(sent["temperature"], sent["top_p"], sent["max_tokens"]) for sent in endpoint.asked]
    assert told == [(1.0, 0.9, 20)] * 3 + [(0.0, 1.0, 20)]


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
