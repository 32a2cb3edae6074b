"""Faults of records in words of their own."""

from pydantic import ValidationError


def fault_of(error: ValidationError) -> str:
    """Return the first fault: the field, and whether it is missing, unknown or has a value that does not fit."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    if is_other_version(error):
        return f"schema_version is not {first['ctx']['expected']}, which this release reads"
    field = ".".join(map(str, first["loc"]))
    if not field:
        return "not a record"
    known = {"missing": "is missing", "extra_forbidden": "is unknown"}
    return f"field {field!r} {known.get(first['type'], 'has a value that does not fit')}"


def is_other_version(error: ValidationError) -> bool:
    """Return whether the first fault is that a record is of another version of its schema."""
    first = error.errors(include_url=False, include_input=False)[0]
    return first["loc"] == ("schema_version",) and first["type"] == "literal_error"
