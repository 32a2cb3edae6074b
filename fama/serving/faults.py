"""Answers of the endpoint's own that are no success, in the shape of OpenAI's errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault(Exception):  # noqa: N818 - an answer, raised to end the handling of a request
    """A request that this server answers itself. ``reason`` is the code in the body and the label of the metric."""

    status: int
    reason: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the body as OpenAI's clients read it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.reason}
        return json.dumps({"error": error}).encode()


def bad_request(reason: str, message: str) -> Fault:
    """Return the answer to a body that cannot be taken."""
    return Fault(400, reason, message)


def too_many(limit: int) -> Fault:
    """Return the answer to one request more than may be under way."""
    return Fault(429, "too_many_requests", f"{limit} requests are under way; try again", {"retry-after": "1"})


def upstream_timeout(seconds: float) -> Fault:
    """Return the answer for an upstream that stayed silent."""
    return Fault(504, "upstream_timeout", f"the upstream was silent for {seconds:g} seconds")


def upstream_odd(status: int) -> Fault:
    """Return the answer for a status that no reply can have."""
    return Fault(502, "upstream_odd", f"the upstream answered with the status {status}, which no reply has")


def upstream_elsewhere(status: int, place: str) -> Fault:
    """Return the answer for a redirect: its client would ask there without notes."""
    text = f"the upstream redirects to {place!r} (status {status}); give the address that answers as upstream"
    return Fault(502, "upstream_redirects", text)


def upstream_failed(error: Exception) -> Fault:
    """Return the answer for an upstream that could not be asked; an error's text may hold a key and is left out."""
    return Fault(502, "upstream_unreachable", f"the upstream could not be asked ({type(error).__name__})")
