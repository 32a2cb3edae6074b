"""The advisor: a router, a pool of helpers and a memory of conversations, for agents that run elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Self

from fama.advising.advice import Advice
from fama.advising.session import Session
from fama.agents.strategies.base import Placement
from fama.models.base import ChatModel
from fama.selection.base import Selector
from fama.settings import BudgetSettings, Cadence, HelperSettings, ModelSettings


class Advisor:
    """Gives notes before an agent's requests, as a run of this package would.

    Thread-safe: all advice is computed in one thread of the advisor's own. Close it, or use it as a context manager,
    where it serves a model.
    """

    def __init__(
        self,
        router: str | PathLike[str] | Selector,
        *,
        helpers: Sequence[str] | HelperSettings | None = None,
        model: ModelSettings | ChatModel | Mapping[str, Any] | str | None = None,
        cadence: Cadence = "turn",
        placement: Placement = "assistant",
        price: float | None = None,
        budget: BudgetSettings | int | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        sessions: int = 4096,
    ) -> None:
        """Load the router and the helpers.

        Args:
            router: folder of a checkpoint, name of a registered selector such as ``all`` or ``rule``, or a selector.
            helpers: the pool as in a run, names with or without a form; the router's own or all six when None.
            model: of helper agents and of prompted selection; None where notes are templates and the router is trained.
            cadence: when the router is asked.
            placement: where notes go, as in a run.
            price: λ, the success probability that 1,000 tokens are worth; the router's own when None.
            budget: hard limits in tokens; a number limits each decision.
            seed: of random draws and of helper agents.
            options: further options of the selector, as ``selector.options`` of a run.
            sessions: conversations that are remembered at most; the least recently used one is forgotten first.

        Raises:
            BadInput: something is unknown, does not fit the router, or needs a model and none is given.
            FamaError: the model cannot be reached.
        """
        raise NotImplementedError

    def advise(
        self,
        messages: Iterable[Any],
        tools: Iterable[Any] | None = None,
        policy: str | None = None,
        session: Session | None = None,
    ) -> Advice:
        """Return the notes for the agent's coming request; waits for them.

        Args:
            messages: OpenAI chat messages, dicts or objects of the SDK; never changed.
            tools: OpenAI tool definitions.
            policy: the agent's instructions; the first system message when None.
            session: of the conversation's latest advice; looked up by its messages when None.

        Raises:
            BadInput: messages or tools do not have the form of OpenAI's.
            ModelError: the model of a helper or of the selector failed.
        """
        raise NotImplementedError

    async def advise_async(
        self,
        messages: Iterable[Any],
        tools: Iterable[Any] | None = None,
        policy: str | None = None,
        session: Session | None = None,
    ) -> Advice:
        """Return the notes for the agent's coming request; see ``advise``. Cancelling it cancels helpers' calls."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the advisor's thread and what it serves; later calls raise."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
