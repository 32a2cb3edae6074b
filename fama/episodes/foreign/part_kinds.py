"""Kinds of content parts that live replies and imported logs share: words and thoughts."""

TEXT_KINDS = frozenset({"text", "input_text", "output_text"})
THOUGHT_KINDS = frozenset(
    "thinking redacted_thinking reasoning reasoning_content reasoning_text summary_text thought".split()
)


def is_stated(value: object) -> bool:
    """Return whether a part's field says something: Gemini's clients write every field, null where there is none."""
    return value is not None and value is not False


def is_thought(kind: str) -> bool:
    """Return whether a part of this kind holds thoughts, which nobody is told; OpenRouter names ``reasoning.text``."""
    return kind.lower() in THOUGHT_KINDS or kind.lower().startswith("reasoning.")
