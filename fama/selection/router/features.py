"""The input of a router: the visible state as text segments plus numeric evidence, never the episode's key."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from fama.episodes.state import VisibleState

SegmentKind = Literal["policy", "tool", "user", "assistant", "result"]

#: Order of the kinds in type embeddings; part of the checkpoint format.
KINDS: tuple[SegmentKind, ...] = ("policy", "tool", "user", "assistant", "result")
#: Parts of a state that a log may lack.
Part = Literal["policy", "tools"]
PARTS: tuple[Part, ...] = ("policy", "tools")
_SEGMENT_OF: dict[Part, SegmentKind] = {"policy": "policy", "tools": "tool"}
_EVIDENCE_OF: dict[Part, tuple[str, ...]] = {
    "policy": ("policy_length", "policy_rules"),
    "tools": ("tools", "tool_parameters"),
}
_KIND_OF_ROLE: dict[str, SegmentKind] = {"user": "user", "assistant": "assistant", "tool": "result"}


@dataclass(frozen=True)
class Segment:
    """One text; ``position`` counts messages from the end (0 is the newest; 0 for policy and tools)."""

    kind: SegmentKind
    text: str
    position: int = 0


@dataclass(frozen=True)
class Features:
    """A state as a router sees it. ``evidence`` is in the order of ``EVIDENCE_NAMES``."""

    segments: tuple[Segment, ...]
    evidence: tuple[float, ...]

    def history(self) -> tuple[Segment, ...]:
        """Return the segments that are messages."""
        return tuple(segment for segment in self.segments if segment.kind in _KIND_OF_ROLE.values())

    def frame(self) -> tuple[Segment, ...]:
        """Return the other segments: policy and tools, shared by all states of a domain."""
        return tuple(segment for segment in self.segments if segment.kind not in _KIND_OF_ROLE.values())

    @property
    def lacking(self) -> frozenset[Part]:
        """Return the parts of which the state has nothing."""
        kinds = {segment.kind for segment in self.segments}
        return frozenset(part for part in PARTS if _SEGMENT_OF[part] not in kinds)

    def known_evidence(self) -> tuple[float, ...]:
        """Return the evidence, NaN where it counts a part that the state lacks: unknown, not 0."""
        return _with_evidence(self.evidence, self.lacking, math.nan)


def featurise(state: VisibleState) -> Features:
    """Return segments and evidence of a state."""
    from fama.selection.router.evidence import EVIDENCE_NAMES, visible_evidence

    found = visible_evidence(state)
    return Features(segments_of(state), tuple(float(found[name]) for name in EVIDENCE_NAMES))


def hide(features: Features, parts: Collection[Part]) -> Features:
    """Return the features without these parts, as of a state that lacks them."""
    gone = {_SEGMENT_OF[part] for part in parts if part not in features.lacking}
    if not gone:
        return features
    kept = tuple(segment for segment in features.segments if segment.kind not in gone)
    return replace(features, segments=kept, evidence=_with_evidence(features.evidence, parts, 0.0))


def _with_evidence(evidence: tuple[float, ...], parts: Collection[Part], value: float) -> tuple[float, ...]:
    from fama.selection.router.evidence import EVIDENCE_NAMES

    changed = {EVIDENCE_NAMES.index(name) for part in parts for name in _EVIDENCE_OF[part]}
    return tuple(value if place in changed else old for place, old in enumerate(evidence))


def segments_of(state: VisibleState) -> tuple[Segment, ...]:
    """Return policy, every tool and every message as text; empty messages are left out."""
    segments = [Segment("policy", state.policy)] if state.policy.strip() else []
    segments += [Segment("tool", f"{tool.name}: {tool.description} {tool.parameters}") for tool in state.tools]
    count = len(state.messages)
    for index, message in enumerate(state.messages):
        kind = _KIND_OF_ROLE.get(message.role)
        calls = [f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ()]
        text = "\n".join(part for part in (message.content or "", *calls) if part.strip())
        if kind is not None and text:
            segments.append(Segment(kind, text, count - 1 - index))
    return tuple(segments)
