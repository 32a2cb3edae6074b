"""Features of a whole failure, by group: what its category and the party to blame are told by."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import lru_cache

from eval.readings.fitted.failure_evidence import FailureEvidence, nature, share
from fama.diagnosis.detectors.gold import LIMIT_REASONS
from fama.diagnosis.detectors.user import END_MARK
from fama.diagnosis.orchestrator import weight
from fama.dialogue.language import sentences
from fama.dialogue.requests import turns_down
from fama.dialogue.turns import agrees, corrects

FeatureValue = tuple[str, float]
CODES = ("DCV", "WRCO", "CM", "IFU")
PARTIES = ("agent", "user", "environment")
#: Patterns of sources; a finding counts for the first that it meets.
SOURCES = (
    "gold:computed",
    "gold:denied",
    "gold:extra",
    "gold:forbidden",
    "gold:invented",
    "gold:outdated",
    "gold:misread",
    "gold:missing",
    "gold:refused",
    "gold:told_wrong",
    "gold:untold",
    "gold:unagreed",
    "gold:wrong_row",
    "end:handover",
    "end:limit",
    "end:*",
    "invented:stated",
    "invented:*",
    "loop:identical",
    "loop:*",
    "policy:confirmation",
    "policy:*",
    "retry:*",
    "tool:*",
    "user:endless",
    "user:left",
    "user:unsaid",
    "user:*",
)
#: Words of an instruction: a condition, a choice by rank, what to keep back, what to be told, a change of mind.
_WORDS = {
    "condition": r"\bif\b|\bunless\b|\botherwise\b|\bonly\b|as long as|less than|more than|at most|under \$|up to",
    "rank": r"cheap|expensive|lowest|highest|earliest|latest|shortest|longest|fastest|\bbest\b|\bmost\b|smallest"
    r"|largest",
    "keep_back": r"do not|don't|not (?:offer|mention|reveal|want)|without (?:mention|reveal)"
    r"|only (?:if|when) (?:the )?(?:agent|asked)|private",
    "know": r"how much|how many|\bknow\b|total|price|difference|save",
    "mind": r"change your mind|instead|decide|insist|persist|try to|refuse|convince",
    "unsure": r"forg|remember|not sure|confus|lost|vague|incoheren|piecewise",
}
_PATTERNS = {name: re.compile(text, re.IGNORECASE) for name, text in _WORDS.items()}
_ASKS_MORE = re.compile(r"anything else|further|more help|else i can|other request", re.IGNORECASE)


@lru_cache(maxsize=4096)
def kind_of_source(source: str) -> str | None:
    """Return the pattern that a finding counts for."""
    return next((pattern for pattern in SOURCES if fnmatch(source, pattern)), None)


def _rule(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield the rule's answer, and the weight of each category's strongest finding."""
    merged = shown.rule
    for code in CODES:
        yield f"primary {code}", float(merged.primary[0] == code)
        found = [weight(item.source) for item in shown.findings if item.category == code]
        yield f"score {code}", max(found, default=0.0)
    for party in PARTIES[1:]:
        yield f"blame {party}", float(merged.blame == party)


def _findings(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield a flag for each source that has a finding."""
    kinds = {kind_of_source(item.source) for item in shown.findings}
    for pattern in SOURCES:
        yield pattern, float(pattern in kinds)


def _changes(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield reference changes missing, extra or different, and what kind of value differs."""
    wanted, found, trace = shown.wanted, shown.matching, shown.trace
    differing = [pair for pair in found.pairs if pair[2]]
    yield "none wanted", float(not wanted)
    yield "several wanted", float(len(wanted) > 1)
    yield "none made", float(not trace.writes)
    yield "some right", float(any(not pair[2] for pair in found.pairs))
    yield "missing", share([True] * len(found.missing) + [False] * len(found.pairs))
    yield "all missing", float(bool(wanted) and len(found.missing) == len(wanted))
    yield "extra", math.log1p(len(found.extra))
    yield "differing", float(bool(differing))
    yield "tried and failed", float(any(not one.done for one in shown.wrong))
    yield "one value differs", float(len(shown.wrong) == 1)
    for kind in ("number", "id", "date", "choice"):
        yield f"differs in {kind}", float(any(nature(one.difference.gold) == kind for one in shown.wrong))
    names = {reference.name for reference in wanted}
    yield "extra of a wanted tool", float(any(call.name in names for call in found.extra))
    hand = [a.name for a in shown.episode.gold_actions or () if trace.roles.hands_over(a.name)]
    yield "hand-over wanted", float(bool(hand))
    detail = shown.episode.reward_detail
    yield "data wrong", float(detail.get("r_actions", 1.0) < 1 or detail.get("DB", 1.0) < 1)
    yield "outputs unsaid", float(bool(shown.unsaid))
    yield "outputs wanted", float(bool(shown.episode.required_outputs))


def _origins(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield the places where values that differ, and those of missing changes, stood before the call."""
    for side in ("gold", "actual"):
        kinds = [shown.origin(getattr(one.difference, side), one.call.step) for one in shown.wrong]
        for kind in ("user", "tool", "instruction", "agent", "nowhere", "absent"):
            yield f"{'right' if side == 'gold' else 'wrong'} value from {kind}", float(kind in kinds)
    yield "both values in one output", float(any(shown.beside(one) for one in shown.wrong))
    yield "sums without source", math.log1p(len(shown.unsupported))
    told = [user for _, instructed, user, _ in shown.needed if instructed]
    yield "needed, instructed and unsaid", 1 - share(told) if told else 0.0
    yield "needed, looked up", share([tool for *_, tool in shown.needed])


def _course(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield length, errors, refusals, repeats, consent and end of the dialogue."""
    trace, messages = shown.trace, shown.episode.messages
    yield "turns", math.log1p(len(trace.user_steps))
    yield "calls", math.log1p(len(trace.calls))
    yield "failed calls", math.log1p(sum(call.failed for call in trace.calls))
    keys = [(call.name, call.raw) for call in trace.calls]
    yield "repeated calls", math.log1p(len(keys) - len(set(keys)))
    yield "hand-over", float(any(trace.roles.hands_over(call.name) for call in trace.calls))
    refusals = [step for step in trace.spoken_steps if any(map(turns_down, sentences(shown.text(step))))]
    yield "refusals", math.log1p(len(refusals))
    yield "limit", float(bool(LIMIT_REASONS.search(shown.episode.outcome.reason)))
    last = shown.text(len(messages) - 1) if messages and messages[-1].role == "user" else ""
    yield "user stops", float(bool(END_MARK.search(last)))
    asked = shown.text(trace.spoken_steps[-1]) if trace.spoken_steps else ""
    yield "ends at a question", float("?" in asked and not _ASKS_MORE.search(asked))
    yield "user corrects", math.log1p(sum(corrects(shown.text(step)) for step in trace.user_steps))
    before = [trace.user_before(call.step) for call in trace.writes]
    yield "change without a yes", float(any(m is None or not agrees(m.content or "") for m in before))
    yield (
        "mean words of the user",
        math.log1p(sum(len(shown.text(step).split()) for step in trace.user_steps) / max(1, len(trace.user_steps))),
    )


def _words(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield kinds of words in the instruction."""
    text = shown.episode.instruction or ""
    for name, pattern in _PATTERNS.items():
        yield name, float(bool(pattern.search(text)))
    yield "length", math.log1p(len(text.split())) / 3


def _coverage(shown: FailureEvidence) -> Iterator[FeatureValue]:
    """Yield the share of the instruction that the user said."""
    shares = [value for _, value in shown.parts]
    yield "least of a sentence", min(shares, default=1.0)
    yield "mean of sentences", sum(shares) / len(shares) if shares else 1.0
    own = " ".join(text for text, _ in shown.parts).casefold()
    said = [word for word in re.findall(r"[a-z]{5,}", shown.said_by_user)]
    yield "user's words not instructed", share([word not in own for word in said])


GROUPS: Mapping[str, Callable[[FailureEvidence], Iterator[FeatureValue]]] = {
    "rule": _rule,
    "findings": _findings,
    "changes": _changes,
    "origins": _origins,
    "course": _course,
    "words": _words,
    "coverage": _coverage,
}


def features(shown: FailureEvidence) -> dict[str, float]:
    """Return the features of a failure by name, ``group: feature``."""
    return {f"{group}: {name}": value for group, read in GROUPS.items() for name, value in read(shown)}
