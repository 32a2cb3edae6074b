"""The arm of an exported Inspect log, and arguments that are no JSON object, as its writer and its reader know them.

Inspect keeps such arguments in the words of a parse error.
"""

import re
from collections.abc import Mapping
from typing import Any

#: The key and value of a log's metadata by which an exported log is known.
EXPORTER, EXPORTED = "exporter", "fama"
#: The keys beside it that name the arm.
ARM_FIELDS = ("benchmark", "strategy", "selector", "config_hash", "variant")
_BEGIN, _MIDDLE = "Error parsing the following tool call arguments:", "Error details:"
_TOLD = re.compile(rf"\s*{re.escape(_BEGIN)}\s*(.*?)\s*(?:\n\s*{re.escape(_MIDDLE)}.*)?", re.DOTALL)


def exported_arm(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what names the arm of an exported log; nothing for a log that Inspect itself, or another tool, wrote."""
    told = metadata or {}
    if told.get(EXPORTER) != EXPORTED:
        return {}
    return {name: told[name] for name in ARM_FIELDS if isinstance(told.get(name), str) and told[name]}


def to_parse_error(arguments: str) -> str:
    """Return the parse error of arguments, in Inspect's own words and with the whole text."""
    return f"{_BEGIN}\n\n{arguments}\n\n{_MIDDLE} not a JSON object"


def from_parse_error(error: str) -> str:
    """Return the arguments that a parse error quotes; its own text where it has other words."""
    told = _TOLD.fullmatch(error)
    return told[1] if told is not None and told[1] else error
