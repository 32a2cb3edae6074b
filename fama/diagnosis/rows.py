"""Records in the outputs of an episode, found by a value that they are called by."""

from typing import Any

from fama.diagnosis.trace import Trace

_DEEPEST = 8


def record_called(trace: Trace, value: Any, before: int | None = None) -> dict[str, Any]:
    """Return the scalars of the first record in an output that is called by a value, inner records included."""
    for call in trace.calls:
        if before is None or call.step < before:
            found = _find(call.data, str(value), 0)
            if found:
                return found
    return {}


def _find(data: Any, value: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST or not isinstance(data, dict | list):
        return {}
    inner = list(data.values()) if isinstance(data, dict) else data
    if isinstance(data, dict) and len(data) > 2 and value in map(str, _scalars(data).values()):
        return {**_scalars(data), **{k: v for one in inner if isinstance(one, dict) for k, v in _scalars(one).items()}}
    return next((found for one in inner if (found := _find(one, value, depth + 1))), {})


def _scalars(data: dict[str, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in data.items() if not isinstance(value, dict | list)}
