"""The input of a router: the visible state as text segments plus numeric evidence, never the episode's key."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from fama.episodes.records import ToolSpec
from fama.episodes.state import VisibleState
from fama.memo import by_identity
from fama.selection.router.message_features import KIND_OF_ROLE, MessageFeatures, SegmentKind, message_features

#: Order of the kinds in type embeddings; part of the checkpoint format.
KINDS: tuple[SegmentKind, ...] = ("policy", "tool", "user", "assistant", "result")
#: Parts of a state that a log may lack.
PromptPart = Literal["policy", "tools"]
PARTS: tuple[PromptPart, ...] = ("policy", "tools")
_SEGMENT_OF: dict[PromptPart, SegmentKind] = {"policy": "policy", "tools": "tool"}
_EVIDENCE_OF: dict[PromptPart, tuple[str, ...]] = {
    "policy": ("policy_length", "policy_rules"),
    "tools": ("tools", "tool_parameters"),
}
_OF_MESSAGES = frozenset(KIND_OF_ROLE.values())


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
        return tuple(segment for segment in self.segments if segment.kind in _OF_MESSAGES)

    def frame(self) -> tuple[Segment, ...]:
        """Return the other segments: policy and tools, shared by all states of a domain."""
        return tuple(segment for segment in self.segments if segment.kind not in _OF_MESSAGES)

    @cached_property
    def lacking(self) -> frozenset[PromptPart]:
        """Return the parts of which the state has nothing."""
        kinds = {segment.kind for segment in self.segments}
        return frozenset(part for part in PARTS if _SEGMENT_OF[part] not in kinds)

    def known_evidence(self) -> tuple[float, ...]:
        """Return the evidence, NaN where it counts a part that the state lacks: unknown, not 0."""
        return _with_evidence(self.evidence, self.lacking, math.nan)


def featurise(state: VisibleState) -> Features:
    """Return segments and evidence of a state; of messages that a recent state had, nothing is read again."""
    from fama.selection.router.evidence import EVIDENCE_NAMES, visible_evidence

    read = message_features(state.messages)
    found = visible_evidence(state, read)
    return Features(segments_of(state, read), tuple(float(found[name]) for name in EVIDENCE_NAMES))


def state_text(features: Features) -> str:
    """Return a state as one text for models that read one: all segments, each after its kind.

    Messages come first, the newest of them foremost, so that a model with a window loses policy and tools first.
    """
    order = (*reversed(features.history()), *features.frame())
    return "\n".join(f"{segment.kind}: {segment.text}" for segment in order)


def hide(features: Features, parts: Collection[PromptPart]) -> Features:
    """Return the features without these parts, as of a state that lacks them."""
    gone = {_SEGMENT_OF[part] for part in parts if part not in features.lacking}
    if not gone:
        return features
    kept = tuple(segment for segment in features.segments if segment.kind not in gone)
    return replace(features, segments=kept, evidence=_with_evidence(features.evidence, parts, 0.0))


def _with_evidence(evidence: tuple[float, ...], parts: Collection[PromptPart], value: float) -> tuple[float, ...]:
    from fama.selection.router.evidence import EVIDENCE_NAMES

    changed = {EVIDENCE_NAMES.index(name) for part in parts for name in _EVIDENCE_OF[part]}
    return tuple(value if place in changed else old for place, old in enumerate(evidence))


def segments_of(state: VisibleState, read: Sequence[MessageFeatures] | None = None) -> tuple[Segment, ...]:
    """Return policy, every tool and every message as text; empty messages are left out.

    ``read`` are the features of the state's messages, where the caller has them.
    """
    read = message_features(state.messages) if read is None else read
    newest = len(read) - 1
    history = [
        Segment(one.kind, one.text, newest - place)
        for place, one in enumerate(read)
        if one.kind is not None and one.text
    ]
    return (*_frame_of(state.policy, state.tools), *history)


@by_identity(64)
def _frame_of(policy: str, tools: tuple[ToolSpec, ...]) -> tuple[Segment, ...]:
    told = [Segment("policy", policy)] if policy.strip() else []
    return (*told, *(Segment("tool", f"{tool.name}: {tool.description} {tool.parameters}") for tool in tools))
