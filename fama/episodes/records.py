"""Persisted records: episodes, their decisions and ledgers, and failure labels.

Every record is frozen, rejects unknown fields and carries a ``schema_version`` where it is a
line of a file. Messages are OpenAI chat messages, with every strategy: a tool call
is an assistant message with ``tool_calls``, its result a ``tool`` message.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fama.episodes.keys import EpisodeKey, TaskKey
from fama.errors import Boundary
from fama.subsets import Subset
from fama.text.counts import token_count
from fama.text.json_numbers import load_nulled

SCHEMA_VERSION: Final = 1

Status = Literal["success", "failure", "error"]
Blame = Literal["agent", "user", "environment"]
Role = Literal["system", "user", "assistant", "tool"]


class Record(BaseModel):
    """Base of everything that touches disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")


#: For lines of a log: JSON has no word for infinite and no number, and what is written must be read again.
_FINITE = ConfigDict(allow_inf_nan=False)


def _object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, numbers that JSON has no word for as null; empty when it holds none."""
    try:
        value = load_nulled(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class FunctionCall(Record):
    """Name and JSON-encoded arguments of a tool call."""

    name: str
    arguments: str

    def parsed(self) -> dict[str, Any]:
        """Return the arguments as a dict; empty when they are not a JSON object."""
        return _object(self.arguments)


class ToolCall(Record):
    """One tool call of an assistant message."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Record):
    """One chat message in OpenAI form."""

    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    failed: Literal[True] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a tool's result: the log flags the call as failed. None where only the words of the result can tell."""


#: Key of a tool's JSON schema that states the role of the tool (see ``fama.dialogue.roles``).
ROLE_KEY = "x-fama-role"
ToolRole = Literal["read", "identify", "write", "close", "handover", "other"]
"""``read`` looks something up, ``identify`` settles who the user is, ``write`` changes data, ``close`` ends the case,
``handover`` ends it by giving it to a human, ``other`` does none of these (it thinks, calculates, asks the user)."""


class ToolSpec(Record):
    """A tool as the agent sees it; ``parameters`` is a JSON-encoded JSON schema."""

    name: str
    description: str
    parameters: str = "{}"

    def schema_dict(self) -> dict[str, Any]:
        """Return the parameters' JSON schema as a dict; empty when they are not a JSON object."""
        return _object(self.parameters)

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return the schema of every parameter; empty where it is null or of another type."""
        found = self.schema_dict().get("properties")
        if not isinstance(found, dict):
            return {}
        return {name: value if isinstance(value, dict) else {} for name, value in found.items()}

    def required(self) -> tuple[str, ...]:
        """Return the names of the parameters that a call needs."""
        found = self.schema_dict().get("required")
        return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()


def _unknown(value: object) -> bool:
    """Return whether a field is left out of a line: records that never had it keep their bytes and hashes."""
    return value is None


def _empty(value: tuple[object, ...] | bool) -> bool:
    return not value


class LedgerRow(Record):
    """One model call, billed whether or not its answer could be parsed.

    ``role`` is ``agent``, ``helper:<name>``, ``selector``, ``analyst``, ``orchestrator``,
    ``mitigation``, ``user`` or ``judge``. ``input_tokens`` includes the cached ones. ``price`` is in
    US dollars; None means unknown, never free. ``turn`` is the decision index, None outside one. Counts that nobody
    reported, or that cannot be true, are None; ``estimated_tokens`` is then the upper estimate that budgets count.
    """

    model_config = _FINITE

    role: str
    model: str
    input_tokens: int | None = 0
    cached_input_tokens: int | None = 0
    output_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    estimated_tokens: int | None = None
    seconds: float = 0.0
    cache_hit: bool = False
    price: float | None = None
    parsed: bool = True
    truncated: bool | None = Field(default=None, exclude_if=_unknown)
    """True if the reply was cut at its token limit; None where the caller did not record it."""
    unknown_names: tuple[str, ...] = Field(default=(), exclude_if=_empty)
    """Names in a selector's reply that no helper of the pool has."""
    turn: int | None = None

    @field_validator(
        "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "estimated_tokens", mode="before"
    )
    @classmethod
    def _possible(cls, value: Any) -> int | None:
        return token_count(value)

    @property
    def total_tokens(self) -> int | None:
        """Input plus output tokens; None where one is unknown."""
        return known_total((self.input_tokens, self.output_tokens))

    @property
    def budget_tokens(self) -> int:
        """Return what budgets and limits count: the tokens, or the upper estimate where they are unknown."""
        known = self.total_tokens
        return (self.estimated_tokens or 0) if known is None else known


class Note(Record):
    """A helper's note that was injected before a decision; ``tokens`` is the upper estimate."""

    helper: str
    text: str
    tokens: int


class RejectedNote(Record):
    """A note that failed its check, and why."""

    helper: str
    text: str
    reason: str


SelectionState = Literal["chosen", "unparsed", "unaffordable", "by_cadence"]
"""The origin of a decision's subset: the selector chose it; its replies held no choice, so that its fallback holds; the
budget had no room to ask it; the cadence asks at other decisions."""


class Decision(Record):
    """Selection and notes before one action.

    ``turn`` is the 0-based decision index; ``message_index`` the index in the episode's messages of
    the assistant message that this decision produced. ``propensity`` is the probability with which
    the selector draws ``subset`` in this state (1.0 for a deterministic one, None if unknown).
    ``dropped`` are helpers left out because a budget did not allow them. ``selection`` says how the subset came about,
    None in records that do not say it.
    """

    model_config = _FINITE

    turn: int
    message_index: int
    subset: Subset = ()
    propensity: float | None = None
    notes: tuple[Note, ...] = ()
    rejected: tuple[RejectedNote, ...] = ()
    dropped: Subset = ()
    selection: SelectionState | None = Field(default=None, exclude_if=_unknown)
    seconds: float = 0.0


class Outcome(Record):
    """The end of an episode. ``reason`` says what ended it, e.g. ``closed`` or ``max_steps``."""

    status: Status
    boundary: Boundary | None = None
    reason: str = ""


class GoldAction(Record):
    """A reference action of the benchmark; ``arguments`` is JSON-encoded."""

    name: str
    arguments: str


class Source(Record):
    """Origin of an episode: this package's own run, or an importer and the file.

    ``file`` is its place relative to what was given, ``digest`` a hash of its content, ``location`` one of its whole
    path, by which a file that has grown since is known. ``own_arm`` is the name of the arm that the
    file is, where the log does not name backbone, strategy and domain. ``omitted`` counts what an episode cannot hold.
    """

    importer: str = "fama"
    file: str | None = None
    digest: str | None = None
    location: str | None = None
    own_arm: str | None = None
    omitted: dict[str, int] = Field(default_factory=dict)
    continues: str | None = Field(default=None, exclude_if=_unknown)
    """Id of a recorded episode whose conversation went on after a pause, in this one: all of it is here."""


class Episode(Record):
    """One run of one task. The unit of every log: one line of ``episodes.jsonl``."""

    model_config = _FINITE

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    benchmark: str
    benchmark_version: str | None = None
    domain: str
    task_id: str
    trial: int = 0
    backbone: str | None = None
    strategy: str | None = None
    selector: str | None = None
    agent: str | None = None
    """The harness's name of the agent that drives the backbone, where an imported log gives one."""
    user_model: str | None = None
    """The model that plays the user, where an imported log names it."""
    settings: str | None = None
    """Further settings of an imported log's run, as ``name=value``."""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    decisions: tuple[Decision, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    outcome: Outcome
    reward: float | None = None
    reward_detail: dict[str, float] = Field(default_factory=dict)
    gold_actions: tuple[GoldAction, ...] | None = None
    required_outputs: tuple[str, ...] | None = None
    """Facts that the task demands to be told to the user; None where the benchmark or the log does not say it."""
    instruction: str | None = None
    """Instruction of the benchmark to its simulated user about this task; no part of a visible state."""
    seeds: dict[str, int] = Field(default_factory=dict)
    prompt_hashes: dict[str, str] = Field(default_factory=dict)
    config_hash: str | None = None
    package_version: str | None = None
    commit: str | None = Field(default=None, exclude_if=_unknown)
    """Commit of the checkout that the episode ran at, with ``-dirty`` where files differed from it."""
    attempt: int | None = Field(default=None, exclude_if=_unknown)
    """Run of this episode, from 1; more where earlier ones ended in an error. None in records that do not say it."""
    source: Source = Source()
    started_at: str | None = None
    seconds: float | None = None
    """Wall time; calls answered from the response cache count with the seconds they once took."""

    @property
    def key(self) -> EpisodeKey:
        """Return the identity of the episode; parts that an imported log does not name are empty."""
        arm = (self.backbone or "", self.strategy or "", self.selector or "", self.variant)
        return EpisodeKey(self.benchmark, self.domain, self.task_id, self.trial, *arm)

    @property
    def variant(self) -> str:
        """Return what else sets the arm of an imported episode apart, each as ``name=value``; empty for own runs."""
        named = {"agent": self.agent, "user": self.user_model, "file": self.source.own_arm}
        parts = [f"{name}={value.replace(';', ',')}" for name, value in named.items() if value]
        return "; ".join([*parts, *([self.settings] if self.settings else [])])


class Evidence(Record):
    """One finding: who found it, the category it speaks for, the message index and a quote."""

    source: str
    category: str
    step: int | None = None
    quote: str = ""


#: The rationale of a label that names a category for want of any finding.
UNEXPLAINED = "No detector found a cause; the task was not fulfilled."
#: The place of such labels in profiles, beside the taxonomy's categories.
NO_CAUSE = "unexplained"


class Failure(Record):
    """A labelled failure: one line of ``failures.jsonl``. ``step`` indexes the episode's messages.

    ``benchmark`` and ``domain`` are of the episode, None where a label does not say them: task ids are unique within a
    domain only.
    """

    model_config = _FINITE

    schema_version: Literal[1] = SCHEMA_VERSION
    episode_id: str
    task_id: str
    benchmark: str | None = None
    domain: str | None = None
    categories: tuple[str, ...] = ()
    primary: tuple[str, ...] = ()
    fits_none: bool = Field(default=False, exclude_if=_empty)
    """True if it says that no category fits; without categories and this mark a label is only begun."""
    step: int | None = None
    blame: Blame = "agent"
    evidence: tuple[Evidence, ...] = ()
    rationale: str = ""
    labeller: str
    confidence: float | None = None
    taxonomy_version: str

    @property
    def is_complete(self) -> bool:
        """Return whether the label names a category or says that none fits."""
        return bool(self.categories or self.primary or self.fits_none)

    @property
    def unexplained(self) -> bool:
        """Return whether no cause was found; the category is then a guess."""
        return self.rationale == UNEXPLAINED

    @property
    def causes(self) -> tuple[str, ...]:
        """Return the primary categories, or ``NO_CAUSE`` alone where these are a guess."""
        return (NO_CAUSE,) if self.unexplained else self.primary

    @property
    def key(self) -> TaskKey:
        """Return the identity of the failed task; its text is the cluster of statistics."""
        return TaskKey(self.benchmark, self.domain, self.task_id)


#: roles of the calls that decide which helpers speak
SELECTION_ROLES = ("selector", "analyst", "orchestrator", "mitigation")
#: groups of roles that an arm is charged for
CHARGED = ("agent", "helper", "selector")


def role_group(role: str) -> str:
    """Return the group of a ledger role: every ``helper:<name>`` is ``helper``, every selecting role ``selector``."""
    head = role.split(":")[0]
    return "selector" if head in SELECTION_ROLES else head


def total_tokens(ledger: tuple[LedgerRow, ...], role: str | None = None) -> int | None:
    """Sum the tokens of a ledger: of one group of roles (see ``role_group``), or of all that an arm is charged for.

    The user simulator's and a judge's rows are no arm's cost; ask for them by their role. None where a row's tokens
    are unknown.
    """
    return known_total([row.total_tokens for row in _rows(ledger, role)])


def budget_tokens(ledger: tuple[LedgerRow, ...], role: str) -> int:
    """Return tokens of one group of roles as budgets and limits count them: unknown ones by their upper estimate."""
    return sum(row.budget_tokens for row in _rows(ledger, role))


def known_total(values: Iterable[int | None]) -> int | None:
    """Return the sum of counts; None where one is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _rows(ledger: tuple[LedgerRow, ...], role: str | None) -> list[LedgerRow]:
    wanted = CHARGED if role is None else (role,)
    return [row for row in ledger if role_group(row.role) in wanted]
