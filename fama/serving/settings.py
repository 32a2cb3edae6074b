"""Settings of ``fama serve``. One attribute is one key of its YAML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fama.agents.strategies.base import Placement
from fama.models.prefill import Prefill
from fama.models.servers.loopback import LOOPBACK
from fama.models.wrapper import OWN_LENGTH
from fama.settings import (
    MESSAGE_CHARS,
    BudgetSettings,
    Cadence,
    HelperSettings,
    MessageChars,
    ModelSettings,
    Options,
    Settings,
)

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class ServeLimits(Settings):
    """Bounds on what clients and the upstream may take of this process."""

    in_flight: int = Field(default=128, ge=1, le=10_000)
    """Requests under way at once; one more is answered 429 with Retry-After."""
    connections: int = Field(default=1024, ge=1, le=100_000)
    """Open connections, idle ones included; one more is answered 503."""
    body_bytes: int = Field(default=8 * 2**20, ge=1024, le=2**28)
    """Size of a request's body."""
    header_bytes: int = Field(default=64 * 1024, ge=1024, le=2**20)
    """Size of a request's headers."""
    depth: int = Field(default=64, ge=8, le=400)
    """Levels of objects and lists in a request's JSON."""
    messages: int = Field(default=2000, ge=1, le=100_000)
    """Messages of a request."""
    reply_bytes: int = Field(default=64 * 2**20, ge=1024, le=2**30)
    """Size of an upstream's whole reply, and of what is kept of a streamed one to record it."""
    client_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Seconds that a client may take to send its headers, its body, and to take each piece of the reply."""
    upstream_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that the upstream may stay silent, before its reply and within it; then 504."""
    advice_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Seconds that selection and helpers may take; then the request goes on without notes."""
    advice_bytes: int = Field(default=512 * 1024, ge=1024, le=2**28)
    """Size of a request that still gets notes: reading what users say takes about a second per 200 KB."""
    stop_seconds: int = Field(default=60, ge=1, le=3600)
    """Seconds that requests under way get to finish when the server is stopped."""


class RecordSettings(Settings):
    """Settings of the recording of conversations as episodes."""

    folder: Path | None = None
    """Folder that gets ``episodes.jsonl``; None records nothing."""
    hook: str | None = Field(default=None, min_length=1)
    """A function that gets each episode before anything of it is written and returns what is to be kept of it, or None:
    ``module:function``, or a name of the entry-point group ``fama.record_hooks``."""
    closing_hook: str | None = Field(default=None, min_length=1)
    """A function that gets each episode once more when its conversation is over, before it goes to ``episodes.jsonl``:
    for what is known only then, such as the outcome. Named like ``hook``."""
    idle_seconds: float = Field(default=900.0, gt=0, le=604_800)
    """Seconds without a further request after which a conversation is taken to be over."""
    open: int = Field(default=10_000, ge=1, le=1_000_000)
    """Conversations that may be open at once; the one silent for longest is then taken to be over."""
    file_bytes: int = Field(default=256 * 2**20, ge=64 * 1024, le=2**40)
    """Size at which ``episodes.jsonl`` is renamed to ``episodes-NUMBER.jsonl`` and begun anew."""
    total_bytes: int = Field(default=10 * 2**30, ge=128 * 1024, le=2**50)
    """Size of all files together, above which the oldest renamed ones are deleted."""
    message_chars: MessageChars = MESSAGE_CHARS
    """Characters of a message, or of the arguments of a call, that are recorded; of longer ones the start, with a mark
    that says how many were cut."""
    benchmark: str = Field(default="served", pattern=r"^[\w.-]{1,64}$")
    """Benchmark that the episodes name."""
    domain: str = Field(default="served", pattern=r"^[\w.-]{1,64}$")
    """Domain that the episodes name."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.total_bytes < self.file_bytes:
            raise ValueError(
                f"total_bytes {self.total_bytes} holds no file of file_bytes {self.file_bytes}; raise it or lower that"
            )
        return self


class ServeSettings(Settings):
    """Settings of ``fama serve``."""

    router: str = Field(min_length=1)
    """Folder of a checkpoint, or name of a selector that needs none, such as ``all`` or ``rule``."""
    options: Options = Field(default_factory=dict)
    """Options of the selector as in a run (``selector.options``), such as the ``taxonomy`` of a router."""
    upstream: str
    """Address of the OpenAI-compatible endpoint that answers, up to and with its ``/v1``."""
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """Address to listen on; another than this machine's own needs ``key_env``."""
    port: int = Field(default=8800, ge=0, le=65_535)
    """Port to listen on; 0 takes a free one."""
    key_env: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable with the key that clients must send, as ``Authorization: Bearer`` or ``x-fama-key``."""
    upstream_key_env: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable with the upstream's key; None sends it the client's ``Authorization``."""
    helpers: HelperSettings | None = None
    """The pool; None takes the router's own, or all six."""
    model: ModelSettings | None = None
    """Model of helper agents and of prompted selection, at its ``temperature``; None where notes are templates and the
    router asks no model."""
    cadence: Cadence = "turn"
    """Decisions at which the router is asked."""
    placement: Placement = "user"
    """Placement of notes. ``assistant`` needs an upstream that continues a reply that was begun."""
    prefill: Prefill = "message"
    """Form in which the upstream gets the opening of its reply, for ``placement: assistant``."""
    benchmark: str = Field(default="", max_length=64)
    """Benchmark whose file of tool roles (``fama/dialogue/rules``) holds for the clients' tools; a tool's schema can
    state its role instead, as ``x-fama-role``."""
    domain: str = Field(default="", max_length=64)
    """Domain of ``benchmark``."""
    price: float | None = Field(default=None, ge=0, le=10)
    """λ, the success probability that 1,000 tokens are worth; None takes the router's own."""
    budget: BudgetSettings = BudgetSettings()
    """Hard limits in tokens; ``run`` is over the life of the server."""
    seed: int = Field(default=0, ge=0)
    """Seed of random draws."""
    sessions: int = Field(default=4096, ge=1, le=1_000_000)
    """Requests whose conversation's state is remembered; the oldest is forgotten first."""
    limits: ServeLimits = ServeLimits()
    record: RecordSettings = RecordSettings()

    @field_validator("upstream")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError("is no address; give for example http://127.0.0.1:8000/v1") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no address; give for example http://127.0.0.1:8000/v1")
        if "@" in parts.netloc:
            raise ValueError("holds a name or password; put the key into the variable of upstream_key_env")
        if parts.query or parts.fragment:
            raise ValueError("holds a query or a fragment; end it with the path, as in /v1")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _needs_key(self) -> Self:
        if not self.on_loopback and self.key_env is None:
            raise ValueError(f"host {self.host}: others can reach it; name the variable of a key with --key-env")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        for name in ("hook", "closing_hook") if self.record.folder is None else ():
            if getattr(self.record, name) is not None:
                raise ValueError(f"record.{name}: gets what is recorded; name a folder with --record, or leave it out")
        if bool(self.benchmark) != bool(self.domain):
            there, lacking = ("benchmark", "domain") if self.benchmark else ("domain", "benchmark")
            raise ValueError(f"{there}: the file of tool roles is found by both; set {lacking} too, or leave both out")
        return self

    def unused(self) -> Iterator[str]:
        """Yield the settings without effect of prefill, budget and bounds."""
        yield from (f"budget.{line}" for line in self.budget.unused())
        yield from (f"model.{line}" for line in (self.model or Settings()).unused())
        if self.model is not None and self.model.changed("max_tokens"):
            yield OWN_LENGTH.format("model")
        if self.placement != "assistant" and self.changed("prefill"):
            yield f"prefill: opens a reply, which placement {self.placement} does not"
        if self.limits.changed("in_flight") and self.limits.in_flight > self.limits.connections:
            yield f"limits.in_flight: {self.limits.in_flight} is never reached, limits.connections is lower"

    @property
    def on_loopback(self) -> bool:
        """Return whether only this machine reaches the server."""
        return self.host in LOOPBACK
