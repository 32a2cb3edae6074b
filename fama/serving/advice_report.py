"""Report of an advice to the client: headers of every answer, and one more field of a whole one."""

import re
from collections.abc import Iterable
from typing import Any

from fama.advising.advice import Advice
from fama.episodes.records import LedgerRow, known_total, role_group

#: Characters of a header's value; helpers of plug-ins may have any name.
_UNSAFE = re.compile(r"[^A-Za-z0-9:_.+-]")
FIELD = "fama"


def advice_headers(advice: Advice | None, failure: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers; ``failure`` is the kind of error for want of which there is no advice."""
    if advice is None:
        return [(b"x-fama-subset", b""), (b"x-fama-failure", _safe(failure or "unknown").encode())]
    subset = ",".join(map(_safe, advice.subset))
    told = {"subset": subset, "notes": str(len(advice.notes)), "rejected": str(len(advice.rejected))}
    tokens = advice.usage.tokens
    if tokens is not None:
        told["tokens"] = str(tokens)
    return [(f"x-fama-{name}".encode(), value.encode()) for name, value in told.items()]


def advice_field(advice: Advice | None, failure: str | None) -> dict[str, Any]:
    """Return the field: the subset, notes placed and rejected, and what helpers and selection used."""
    if advice is None:
        return {"subset": [], "failure": failure}
    return {
        "subset": list(advice.subset),
        "notes": len(advice.notes),
        "rejected": len(advice.rejected),
        "seconds": round(advice.usage.seconds, 6),
        "usage": {
            "note_tokens": advice.usage.note_tokens,
            "helpers": _usage(row for row in advice.usage.ledger if role_group(row.role) == "helper"),
            "selection": _usage(row for row in advice.usage.ledger if role_group(row.role) == "selector"),
        },
    }


def _usage(rows: Iterable[LedgerRow]) -> dict[str, int | None]:
    found = tuple(rows)
    return {
        "calls": len(found),
        "input_tokens": known_total(row.input_tokens for row in found),
        "output_tokens": known_total(row.output_tokens for row in found),
    }


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:64]
