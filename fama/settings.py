"""The typed settings that run, outcomes and compare share. One attribute is one key of their YAML."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from fama.redaction import redact
from fama.redaction.api_keys import know_variable
from fama.subsets import POOL
from fama.text.json_numbers import finite_value

Form = Literal["template", "llm", "separate"]
"""Form of a note: computed, asked of a model at the end of the agent's request, or in a prompt of the helper's own."""
Cadence = Literal["episode", "turn", "change"]
"""Cadence of selection: once per episode, before every decision, or only while a requested change is pending."""
ReadingMode = Literal["patterns", "meaning", "static"]
"""Reading of user turns: by patterns of words, or by meaning."""


class Settings(BaseModel):
    """Base of every config: frozen, unknown keys fail, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def unused(self) -> Iterator[str]:
        """Yield a line for each setting that has no effect beside the others, as ``key: why``."""
        yield from ()

    def changed(self, *names: str) -> list[str]:
        """Return those of the fields that are not at their default."""
        fields = type(self).model_fields
        return [one for one in names if getattr(self, one) != fields[one].get_default(call_default_factory=True)]


def _address(value: str) -> str:
    """Return an endpoint's address.

    Raises:
        ValueError: it is none, or holds a key.
    """
    if redact(value) != value:
        raise ValueError("holds a name, password or key; put the key into the environment variable of api_key_env")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is no address of the form http://HOST:PORT/v1")
    return value


#: Options of a selector or a benchmark, which checks them itself.
Options = Annotated[dict[str, Any], AfterValidator(finite_value)]
#: Largest count of anything; far above what can be run, far below what a computer cannot count.
_MANY = 1_000_000_000
Count = Annotated[int, Field(ge=1, le=_MANY)]
TokenLimit = Annotated[int, Field(ge=0, le=10**15)]
#: λ: success probability per 1,000 tokens.
UnitPrice = Annotated[float, Field(ge=0.0, le=1e6)]
Slots = Annotated[int, Field(ge=1, le=4096)]
Threads = Annotated[int, Field(ge=0, le=4096)]
Timeout = Annotated[float, Field(gt=0.0, le=1e8)]
Retries = Annotated[int, Field(ge=0, le=1000)]
MESSAGE_CHARS = 200_000  # that one message may store, by default
MessageChars = Annotated[int, Field(ge=1_000, le=100_000_000)]
#: The id of a task; a number is one, too (``[0, 7]``).
TaskId = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
BaseUrl = Annotated[str, AfterValidator(_address)]
KeyVariable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: Fields of a request that the loop writes.
_WRITTEN = "model messages tools temperature top_p seed max_tokens max_completion_tokens stop response_format stream n"


class ModelSettings(Settings):
    """A model and its sampling, server and cache."""

    name: str = Field(default="qwen2.5-coder-1.5b", min_length=1)
    """A name of ``fama models list`` (served in process), a model's name at ``base_url``, ``vllm:<repository or
    folder>`` (vLLM in this process), or ``scripted:<name>``."""
    base_url: BaseUrl | None = None
    """An OpenAI-compatible endpoint; None serves the named weights in process with llama.cpp."""
    api_key_env: KeyVariable = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's key; the key itself is never written anywhere."""
    temperature: float = Field(default=0.0, ge=0.0, le=100.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: Count = 200
    """Output tokens per call."""
    context_tokens: Count = 8192
    """Context of a model served in process, over its slots."""
    slots: Slots = 1
    """Parallel sequences of a model served in process; one is fastest on small machines."""
    threads: Threads = 0
    """Threads of a model served in process; 0 takes every core."""
    timeout: Timeout = 300.0
    """Seconds that a call may take, further tries included."""
    retries: Retries = 3
    """Further tries of a call that failed; at most one of a model served in process."""
    prefill: Literal["message", "flag", "words"] | None = None
    """Form in which an endpoint gets the first words of an answer: as a last assistant message, as one with vLLM's
    ``continue_final_message``, or in words; None by its dialect (llama.cpp, vLLM, any other)."""
    extra_body: Options = Field(default_factory=dict, exclude_if=lambda value: not value)
    """Further fields of every request to an endpoint, as its server names them, such as
    ``{chat_template_kwargs: {enable_thinking: false}}``."""
    cache: str | None = None
    """Folder of the response cache; None keeps none."""

    @field_validator("extra_body")
    @classmethod
    def _own_fields_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(value.keys() & _WRITTEN.split()):
            raise ValueError(f"{taken[0]} is set by FAMA in every request; leave it out")
        return value

    @model_validator(mode="after")
    def _answer_fits(self) -> Self:
        room = self.context_tokens // self.slots
        if self.in_process and self.max_tokens >= room:
            raise ValueError(
                f"max_tokens {self.max_tokens} leaves a request no room in context_tokens {self.context_tokens} over "
                f"slots {self.slots}; lower it, or raise context_tokens"
            )
        return self

    @property
    def in_process(self) -> bool:
        """Return whether this process serves or loads the weights."""
        return self.base_url is None and not self.name.startswith("scripted:")

    def unused(self) -> Iterator[str]:
        """Yield what is said of sampling that does not sample, and of a server that is not this process's."""
        if self.temperature == 0 and self.top_p < 1:
            yield "top_p: nothing is drawn at temperature 0"
        if not self.in_process:
            for name in self.changed("slots", "threads", "context_tokens"):
                yield f"{name}: is of a model served in this process; a server has its own"
        if self.name.startswith("scripted:"):
            for name in self.changed("timeout", "retries", "prefill", "extra_body"):
                yield f"{name}: a scripted model gets no request"
        if self.name.startswith("vllm:"):
            for name in self.changed("slots", "threads", "timeout", "retries", "prefill"):
                yield f"{name}: is of a server; vLLM in this process has settings of its own behind a question mark"

    def model_post_init(self, context: Any, /) -> None:
        """Have the key kept out of whatever is written."""
        know_variable(self.api_key_env)


class SelectorSettings(Settings):
    """One selector, that is one arm."""

    name: str = Field(default="none", min_length=1)
    label: str | None = None
    """The arm's name in tables; the selector's name when None."""
    options: Options = Field(default_factory=dict)
    """The selector's own, e.g. ``subset: [TSA, Verifier]`` for ``fixed``, ``checkpoint: DIR`` for ``learned``."""
    cadence: Cadence | None = Field(default=None, exclude_if=lambda value: value is None)
    """Cadence of this arm; the experiment's when None."""

    @property
    def arm(self) -> str:
        """Return the arm's name in tables and episodes."""
        return self.label or self.name


#: The selector of the agent without helpers.
_PLAIN = "none"


class HelperSettings(Settings):
    """The pool of helpers and the form each takes."""

    pool: tuple[str, ...] = POOL
    """Helpers by name, or by name and form (``TSA:template``); forms of one helper exclude each other."""
    form: Form = "template"
    forms: dict[str, Form] = Field(default_factory=dict)
    """Form of single helpers, by name, where it differs from ``form`` and the name states none."""
    options: dict[str, dict[str, int | str]] = Field(default_factory=dict)
    """Options of single helpers, e.g. ``Memory: {k: 6}``; those of ``Memory`` are ``Memory:llm``'s, too, unless it has
    its own."""
    reading: ReadingMode = "meaning"
    """Reading of what users want, agree to or take back, for template helpers: by ``meaning`` (a sentence encoder), by
    ``static`` vectors of their words (no torch), or by ``patterns``, which fit the wording they were written on."""
    concurrency: Count = 1
    """Helpers of one decision asked at the same time, of those that do not read each other's notes; notes and ledger
    are the same as one after the other."""

    @property
    def written_by_models(self) -> bool:
        """Return whether a model writes the notes of some helper; a helper of a file is written by one."""
        names = (entry.partition(":") for entry in self.pool)
        forms = {stated or self.forms.get(name, self.form) for name, _, stated in names}
        return forms != {"template"} or any("." in entry or "/" in entry for entry in self.pool)


def written_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings read from a written config, with what earlier versions left out of it.

    They wrote no ``helpers.reading`` where it was ``patterns``, which is no longer the default.
    """
    helpers = tree.get("helpers")
    return {**tree, "helpers": {"reading": "patterns", **helpers}} if isinstance(helpers, Mapping) else {**tree}


def hashed_form(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they go into hashes and comparisons with earlier ones: without ``helpers.reading: patterns``.

    ``helpers`` is searched at every level: settings of training hold those of a run.
    """
    form: dict[str, Any] = {}
    for key, value in tree.items():
        if key == "helpers" and isinstance(value, Mapping) and value.get("reading") == "patterns":
            value = {name: part for name, part in value.items() if name != "reading"}
        form[key] = hashed_form(value) if isinstance(value, Mapping) else value
    return form


def domains_of(domain: str) -> tuple[str, ...]:
    """Return the single domains of a setting: ``shop+saas`` are two."""
    return tuple(domain.split("+"))


class BudgetSettings(Settings):
    """Hard limits on what helpers and selection may spend, in tokens; None is unlimited."""

    decision: TokenLimit | None = None
    episode: TokenLimit | None = None
    run: TokenLimit | None = None

    def unused(self) -> Iterator[str]:
        """Yield the limits that a tighter one around them is always reached before."""
        for name, wider in (("decision", "episode"), ("episode", "run"), ("decision", "run")):
            limit, around = getattr(self, name), getattr(self, wider)
            if limit is not None and around is not None and limit > around:
                yield f"{name}: {limit} is never reached, {wider} is {around}"
                return


class LimitSettings(Settings):
    """Limits that end an episode, each a reason of its own, and on what one message may store."""

    steps: Count = 30
    """Decisions per episode."""
    tokens: Count = 200_000
    """Agent tokens per episode."""
    repeats: int = Field(default=3, ge=2, le=_MANY)
    """The n-th identical tool call, or reply to the same message, ends the episode; cycles count, not only runs."""
    seconds: float = Field(default=900.0, gt=0.0, le=1e8)
    """Wall time of an episode. A limit by choice like the others: the episode is judged as it stands and is no error;
    a slow machine ends more of them, so comparisons count them."""
    message_chars: MessageChars = Field(default=MESSAGE_CHARS, exclude_if=lambda value: value == MESSAGE_CHARS)
    """Characters of a reply, of the arguments of its call, or of what a tool or the user says that are stored and stay
    in the conversation; of longer ones the start, with a mark that says how many were cut. A call is executed whole."""


class ExperimentSettings(Settings):
    """Tasks, models, strategy, helpers and limits of an experiment."""

    benchmark: str = "helpdesk"
    domain: str = "shop"
    """One domain, or several joined by ``+``, whose tasks take turns (``shop+saas``)."""
    options: Options | None = None
    """The benchmark's own, e.g. ``{phrases: [first, second]}`` for helpdesk."""
    split: str = "dev"
    tasks: Count | tuple[TaskId, ...] = 10
    """Number of tasks of the split, from its start, or their ids. Of several domains, the number in all."""
    trials: int = Field(default=1, ge=1, le=100_000)
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    model: ModelSettings = ModelSettings()
    helper_model: ModelSettings | None = None
    """Model of the helpers' LLM forms and of prompted selection, at its ``temperature``; None: the backbone, at 0."""
    user_model: ModelSettings | None = None
    """Model that plays the user; None: a scripted one (none in tau2, tau_bench, tau_trait, dialogues of acebench)."""
    strategy: str = "act"
    placement: Literal["assistant", "user", "system"] = "assistant"
    """Placement of notes: opening of the assistant turn, end of the last turn, or a system turn at the end."""
    demonstrations: int = Field(default=2, ge=0, le=1000)
    """Conversations on other tasks shown as chat turns."""
    cadence: Cadence = "episode"
    """See ``Cadence``; with ``change`` no helper is asked at any other time."""
    helpers: HelperSettings = HelperSettings()
    budget: BudgetSettings = BudgetSettings()
    limits: LimitSettings = LimitSettings()
    concurrency: Count = 1
    """Episodes under way at once, on all machines together: what the model's server can serve at the same time."""
    executor: Literal["local", "ray"] = "local"
    """Executor of episodes: in this process, or as Ray tasks (the extra ``ray``; models then need a ``base_url``)."""
    stop_after: int = Field(default=5, ge=0, le=_MANY)
    """A run stops when the model's server has left so many episodes in a row without any answer; 0 never stops."""

    @model_validator(mode="after")
    def _arms_have_helpers(self) -> Self:
        helped = next((arm.arm for arm in self.selectors if arm.name != _PLAIN), None)
        if helped is not None and not self.helpers.pool:
            raise ValueError(f"helpers.pool is empty, and arm {helped} chooses from it; name helpers, or run {_PLAIN}")
        return self

    @property
    def selectors(self) -> tuple[SelectorSettings, ...]:
        """Return the selectors of the arms, as far as they are set."""
        return ()

    def unused(self) -> Iterator[str]:
        """Yield the settings without effect of models, budget, helpers, trials and domains."""
        for group in ("model", "helper_model", "user_model", "budget"):
            yield from (f"{group}.{line}" for line in (getattr(self, group) or Settings()).unused())
        limits, arms = self.limits, {arm.name for arm in self.selectors}
        if limits.changed("repeats") and limits.repeats > limits.steps:
            yield f"limits.repeats: {limits.repeats} is never reached, limits.steps is {limits.steps}"
        if arms == {_PLAIN}:
            for name in self.budget.changed("decision", "episode", "run"):
                yield f"budget.{name}: limits helpers and selection, the arm {_PLAIN} has neither"
            if self.helper_model is not None:
                yield f"helper_model: the arm {_PLAIN} asks no helper"
        players = (self.model, self.user_model)
        if self.trials > 1 and all(player is not None and player.temperature == 0 for player in players):
            yield f"trials: {self.trials} of an agent and a user at temperature 0 are hardly more than one"
        domains = domains_of(self.domain)
        if isinstance(self.tasks, int) and self.tasks < len(domains):
            yield f"domain: of {self.domain} only {'+'.join(domains[: self.tasks])} is run, tasks is {self.tasks}"


class RunSettings(ExperimentSettings):
    """Settings of ``fama run``: one arm."""

    selector: SelectorSettings = SelectorSettings()

    @property
    def selectors(self) -> tuple[SelectorSettings, ...]:
        """Return the run's one selector."""
        return (self.selector,)


class OutcomesSettings(ExperimentSettings):
    """Settings of ``fama outcomes``: subsets drawn at random with known propensities."""

    subsets: tuple[tuple[str, ...], ...] | None = None
    """The subsets drawn from, with equal probability; None draws the size first, then the subset."""
    per_task: Count = 4
    """Distinct subsets drawn per task and trial."""

    @model_validator(mode="after")
    def _one_subset_throughout(self) -> Self:
        if self.cadence == "change":
            raise ValueError(
                "cadence change gives an episode its subset at some decisions only, and no row of the table; set "
                "cadence: episode"
            )
        return self

    def unused(self) -> Iterator[str]:
        """Yield draws beyond the subsets that there are, too."""
        yield from super().unused()
        if self.subsets is not None and self.changed("per_task") and self.per_task > len(self.subsets):
            yield f"per_task: {self.per_task} distinct subsets cannot be drawn from {len(self.subsets)}"


class QuestionSettings(Settings):
    """A question that a comparison is asked before it runs, decided by 95 % intervals over tasks."""

    arm: str
    than: str
    ask: Literal["no_worse", "more", "same"] = "no_worse"
    """Does ``arm`` solve no fewer tasks than ``than``, more, or as many, within ``margin``?"""
    margin: float = Field(default=0.05, gt=0.0, lt=1.0)
    """A difference in success that does not matter."""
    tokens: float | None = Field(default=None, gt=0.0, le=1e6)
    """Does it take at most this share of the other's new tokens of helpers and selection? None does not ask."""


class CompareSettings(ExperimentSettings):
    """Settings of ``fama compare``: arms on the same tasks, trials and seeds."""

    track: Literal["prospective", "retrospective"] = "prospective"
    arms: tuple[SelectorSettings, ...] = (SelectorSettings(),)
    outcomes: str | None = None
    """Outcome table of training tasks, for the arms that learn from it (best_fixed)."""
    failures: str | None = None
    """``failures.jsonl`` of the plain run on these tasks: needed on the retrospective track, refused on the other."""
    replay: str | None = None
    """Outcome table to replay from instead of running live."""
    lattice: str | None = None
    """Outcome table of the compared tasks, whose executed subsets selection is judged against. None takes the
    replayed table, or the arms' own episodes."""
    lambdas: tuple[UnitPrice, ...] = ()
    """Prices of 1,000 tokens, or of what an arm weighs instead, to replay arms at: curves of success over tokens."""
    questions: tuple[QuestionSettings, ...] = Field(default=(), exclude_if=lambda value: value == ())
    """Asked before the run; they may not be changed in its folder."""
    bootstrap: int = Field(default=2000, ge=100, le=1_000_000)
    """Resamples of the tasks behind an interval."""

    @property
    def selectors(self) -> tuple[SelectorSettings, ...]:
        """Return the selectors of all arms."""
        return self.arms

    def unused(self) -> Iterator[str]:
        """Yield what a replay does not need, too."""
        yield from super().unused()
        if self.replay is not None:
            for name in self.changed("executor", "concurrency", "stop_after"):
                yield f"{name}: a replay runs no episode"
