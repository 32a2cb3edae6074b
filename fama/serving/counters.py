"""Counters of the endpoint, in Prometheus' text form."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from fama.advising.advice import Advice
from fama.episodes.records import LedgerRow, known_total, role_group

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0)


class Metrics:
    """The counters of one server; no label holds text of a client."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        kept = self._registry
        self.answers = Counter("fama_answers", "Chat requests answered, by HTTP status", ["status"], registry=kept)
        self.refused = Counter(
            "fama_faults", "Chat requests that ended in an error here, by reason", ["reason"], registry=kept
        )
        self.cancelled = Counter("fama_cancelled", "Chat requests that the client gave up", registry=kept)
        self.in_flight = Gauge("fama_requests_in_flight", "Chat requests under way", registry=kept)
        self.seconds = Histogram("fama_request_seconds", "Seconds per chat request", buckets=_SECONDS, registry=kept)
        self.advice = Histogram(
            "fama_advice_seconds", "Seconds per selection with notes", buckets=_SECONDS, registry=kept
        )
        self.failed = Counter(
            "fama_advice_failures",
            "Chat requests without notes: too long, refused with them, for a while after that, or after an error",
            registry=kept,
        )
        self.selected = Counter(
            "fama_helper_selected", "Requests for which a helper was selected", ["helper"], registry=kept
        )
        self.notes = Counter(
            "fama_notes", "Notes in requests that the upstream took with them", ["helper"], registry=kept
        )
        self.rejected = Counter("fama_notes_rejected", "Notes that failed their check", ["helper"], registry=kept)
        self.tokens = Counter("fama_tokens", "Tokens of helpers and selection", ["role"], registry=kept)
        self.unknown = Counter(
            "fama_calls_without_usage", "Calls whose tokens nobody reported", ["role"], registry=kept
        )
        self.recorded = Counter("fama_recorded_episodes", "Conversations written as episodes", registry=kept)
        self.unrecorded = Counter(
            "fama_record_failures", "Exchanges that could not be recorded", ["error"], registry=kept
        )

    def count(self, advice: Advice) -> None:
        """Count one advice, without its calls and its notes."""
        self.advice.observe(advice.usage.seconds)
        for name in advice.subset:
            self.selected.labels(name).inc()
        for rejected in advice.rejected:
            self.rejected.labels(rejected.helper).inc()

    def count_notes(self, advice: Advice) -> None:
        """Count the notes of an advice that the upstream took."""
        for note in advice.notes:
            self.notes.labels(note.helper).inc()

    def spend(self, ledger: Iterable[LedgerRow]) -> None:
        """Count calls of helpers and selection, those of an advice that failed, too."""
        for row in ledger:
            role, tokens = role_group(row.role), known_total((row.input_tokens, row.output_tokens))
            if tokens is None:
                self.unknown.labels(role).inc()
            else:
                self.tokens.labels(role).inc(tokens)

    def text(self) -> bytes:
        """Return all of them."""
        return generate_latest(self._registry)
