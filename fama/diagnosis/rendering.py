"""Episodes as text for judges, cut to a token budget without losing policy, calls or suspicious turns."""

from collections.abc import Collection, Sequence

from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Episode, Evidence, Message
from fama.episodes.state import policy_of
from fama.text.tokens import estimate_tokens

#: Characters a message may have, from roomy to tight; tried in order until the text fits.
_WIDTHS = (4000, 1200, 600, 300, 160, 100)


def render_episode(episode: Episode, budget: int, focus: Collection[int] = ()) -> str:
    """Return the policy and the numbered messages in at most ``budget`` estimated tokens.

    Long messages are shortened first, outside the ``focus`` steps (what detectors point at) and their
    neighbours; then words between agent and user away from the focus are left out, counted in their place. The
    policy is cut only where it alone takes more than half of the budget; calls stay, each by at least its name.
    """
    policy = _fit(policy_of(episode.messages), budget // 2)
    near = {step + offset for step in focus for offset in (-1, 0, 1)}
    text = ""
    for sparse in (False, True):
        for width in _WIDTHS:
            text = f"POLICY\n{policy}\n\nCONVERSATION\n{_lines(episode.messages, width, near, sparse)}"
            if estimate_tokens(text) <= budget:
                return text
    return _fit(text, budget)


def _lines(messages: Sequence[Message], width: int, near: Collection[int], sparse: bool) -> str:
    lines: list[str] = []
    skipped = 0
    ends = {*range(4), *range(len(messages) - 4, len(messages))}
    for step, message in enumerate(messages):
        if message.role == "system":
            continue
        if sparse and not message.tool_calls and step not in near and step not in ends:
            skipped += 1
            continue
        if skipped:
            lines.append(f"[… {skipped} messages left out]")
            skipped = 0
        lines.append(_line(step, message, max(width, 300) if step in near else width))
    if skipped:
        lines.append(f"[… {skipped} messages left out]")
    return "\n".join(lines)


def _line(step: int, message: Message, width: int) -> str:
    if message.tool_calls:
        calls = "; ".join(f"{call.function.name}({call.function.arguments})" for call in message.tool_calls)
        words = spoken(message)
        beside = f" and writes: {shorten(words, width)}" if words else ""
        return f"[{step}] AGENT CALLS {shorten(calls, max(width, 60))}{beside}"
    speaker = {"user": "USER", "assistant": "AGENT", "tool": "TOOL"}[message.role]
    return f"[{step}] {speaker}: {shorten(spoken(message), width)}"


def _fit(text: str, budget: int) -> str:
    if estimate_tokens(text) <= budget:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle]) < budget:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"


def render_findings(evidence: Sequence[Evidence]) -> str:
    """Return the first eight of the detectors' findings, one line each."""
    lines = [f"- message {e.step}: {e.source} ({e.category}): {shorten(e.quote, 160)}" for e in evidence[:8]]
    return "\n".join(lines) or "- none"
