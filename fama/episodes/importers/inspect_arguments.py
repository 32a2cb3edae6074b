"""Arguments of a tool call that are no JSON object, as Inspect logs keep them: in the words of a parse error."""

import re

_BEGIN, _MIDDLE = "Error parsing the following tool call arguments:", "Error details:"
_TOLD = re.compile(rf"\s*{re.escape(_BEGIN)}\s*(.*?)\s*(?:\n\s*{re.escape(_MIDDLE)}.*)?", re.DOTALL)


def to_parse_error(arguments: str) -> str:
    """Return the parse error of arguments, in Inspect's own words and with the whole text."""
    return f"{_BEGIN}\n\n{arguments}\n\n{_MIDDLE} not a JSON object"


def from_parse_error(error: str) -> str:
    """Return the arguments that a parse error quotes; its own text where it has other words."""
    told = _TOLD.fullmatch(error)
    return told[1] if told is not None and told[1] else error
