"""Settings of ``fama mine``. What an episode is (task, backbone, strategy, limits) comes from the mined folder."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fama.config import first_fault
from fama.errors import BadInput
from fama.models.wrapper import OWN_LENGTH
from fama.settings import (
    BaseUrl,
    HelperSettings,
    KeyVariable,
    ModelSettings,
    Retries,
    Settings,
    Slots,
    TaskId,
    Threads,
    Timeout,
)


class RouteSettings(Settings):
    """The way to the backbone; None is as in the mined folder."""

    base_url: BaseUrl | None = None
    api_key_env: KeyVariable | None = None
    slots: Slots | None = None
    threads: Threads | None = None
    timeout: Timeout | None = None
    retries: Retries | None = None
    cache: str | None = None
    """Folder of the response cache; None takes the mined run's, or ``cache`` in the folder of the results."""

    def over(self, model: ModelSettings) -> ModelSettings:
        """Return the model's settings with what is set here.

        Raises:
            BadInput: they contradict each other.
        """
        try:
            return ModelSettings.model_validate({**model.model_dump(), **self.model_dump(exclude_none=True)})
        except ValidationError as error:
            raise BadInput(f"model: {first_fault(error).removeprefix('(top): ')}") from None


class MineBudget(Settings):
    """Hard limits per episode, checked before every call; None is unlimited.

    A request counts once per episode, with the tokens and seconds that it took when it was first answered, also where
    the response cache answers it: so an interrupted run ends as an uninterrupted one.
    """

    calls: int | None = Field(default=400, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)


class MineSettings(Settings):
    """Settings of ``fama mine``."""

    failures: int | None = Field(default=None, ge=0)
    """Failed episodes to mine at most, drawn at random; None mines all, in the order of the file."""
    solved: int | None = Field(default=10, ge=0)
    """Solved episodes, drawn at random, at which every single note is tried: which of them break what worked; None
    takes all."""
    tasks: tuple[TaskId, ...] | None = None
    """Only episodes of these tasks."""
    seed: int = 0
    """Seed of the draws of episodes and of continuations."""
    helpers: HelperSettings | None = None
    """The pool whose notes are tried; None takes the mined run's."""
    helper_model: ModelSettings | None = None
    """Model of the helpers' LLM forms, at its ``temperature``; None takes the mined run's, or the backbone at 0."""
    model: RouteSettings = RouteSettings()
    base: Literal["none", "selector"] = Field(default="none", exclude_if=lambda value: value == "none")
    """Arm that is intervened on: the plain agent, or the run's own selector (asked at every turn),
    to whose helpers an intervention adds others, or from which it takes some away."""
    user: Literal["live", "recorded", "recorded_only"] = "live"
    """``recorded``: the user says what the log says until the agent acts otherwise; then the run's user model answers.
    ``recorded_only``: then nobody answers, and a branch in which the agent speaks on ends in an error of the user."""
    search: str = "elimination"
    """A name of the registry of searches."""
    exact: int = Field(default=60, ge=0)
    """Calls for proving that no smaller repair exists, first among the notes of the repair that was found, then, with
    what is left of them, among all; 0 proves nothing."""
    continuations: int = Field(default=1, ge=1)
    """Times that each branch is run; above 1 (at a temperature above 0) its outcome is a share."""
    share: float = Field(default=0.5, gt=0, le=1)
    """The share of successful continuations from which a branch counts as repaired."""
    budget: MineBudget = MineBudget()
    concurrency: int = Field(default=1, ge=1)
    """Episodes mined at once."""
    stop_after: int | None = Field(default=None, ge=0, exclude_if=lambda value: value is None)
    """Mining stops when the model's server has left so many episodes in a row without any answer; 0 never stops, None
    is as in the mined run."""
    executor: Literal["local", "ray"] = "local"
    """Executor of the mining: in this process, or as Ray tasks (the extra ``ray``; models need a ``base_url``)."""

    @model_validator(mode="before")
    @classmethod
    def _without_the_mined_run(cls, tree: Any) -> Any:
        """Leave out what ``config.json`` says of the mined run: the models that shaped its episodes, and its hash."""
        if not isinstance(tree, dict) or "mined" not in tree:
            return tree
        own = {key: value for key, value in tree.items() if key not in ("mined", "user_model")}
        if isinstance(model := own.get("model"), dict):
            own["model"] = {key: value for key, value in model.items() if key in RouteSettings.model_fields}
        return own

    @model_validator(mode="after")
    def _something_to_mine(self) -> Self:
        if self.failures == 0 and self.solved == 0:
            raise ValueError("failures and solved are both 0: no episode is mined; raise one of them")
        if self.tasks == ():
            raise ValueError("tasks: none are named; name some, or leave it out for all")
        return self

    def unused(self) -> Iterator[str]:
        """Yield the settings without effect of shares, budgets and the proof of minimality."""
        if self.changed("share") and self.continuations == 1:
            yield "share: one continuation succeeds or does not; it is of continuations above 1"
        if self.changed("exact") and self.budget.calls is not None and self.exact > self.budget.calls:
            yield f"exact: {self.exact} calls are never reached, budget.calls is {self.budget.calls}"
        if self.changed("exact") and self.search in ("map", "tree"):
            yield f"exact: search {self.search} has no proof of so many calls; leave it out, or set budget.calls"
        yield from (f"helper_model.{line}" for line in (self.helper_model or Settings()).unused())
        if self.helper_model is not None and self.helper_model.changed("max_tokens"):
            yield OWN_LENGTH.format("helper_model")
