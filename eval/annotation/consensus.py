"""Consensus of several annotators, with a confidence, their error rates, and the disputed labels."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from eval.annotation.labels import Labels, category_label
from fama.episodes.records import Blame, Evidence, Failure, Record

Method = Literal["dawid-skene", "majority"]
#: How the annotator of combined labels is called, before the method.
COMBINED = "combined:"
#: With fewer annotators nothing shows who errs: two who differ are equally likely to be right.
LEAST = 3


class Quality(Record):
    """One annotator on one category, with the consensus as truth; ``told`` is how often it was assigned."""

    labeller: str
    category: str
    told: int
    sensitivity: float | None
    specificity: float | None


class Consensus(Record):
    """The labels, one per failure that at least two annotators label.

    ``confidence`` of a label is the posterior probability of its least sure primary category. ``disputed`` are the
    labels whose annotators name different primary categories, the least sure first.
    """

    method: Method
    labellers: tuple[str, ...]
    labels: tuple[Failure, ...]
    disputed: tuple[Failure, ...]
    quality: tuple[Quality, ...]
    alone: int


def combine(labels: Labels, codes: Sequence[str], taxonomy_version: str, method: Method | None = None) -> Consensus:
    """Merge labels by Dawid and Skene (1979), from three annotators on, else by majority.

    Each category is a yes or no of its own, once as named and once as primary; a failure has those that are more likely
    than not, and where none is primary, the likeliest one that somebody named, or several that are equally likely: none
    at all where most of its annotators say that none fits. The step is the median of those who name a primary category
    of the consensus. With ``method`` None the number of annotators decides.
    """
    raters = tuple(labels)
    method = method or ("dawid-skene" if len(raters) >= LEAST else "majority")
    known = Counter(unit for rater in raters for unit in labels[rater])
    units = sorted(unit for unit, count in known.items() if count > 1)
    answers = {unit: {rater: labels[rater][unit] for rater in raters if unit in labels[rater]} for unit in units}

    def share(read: Callable[[Failure], str]) -> Mapping[str, Mapping[str, float]]:
        return _posterior(tuple((u, r, read(f)) for u, by in answers.items() for r, f in by.items()), method)

    named = {code: share(lambda f, code=code: str(code in f.categories)) for code in codes}  # type: ignore[misc]
    primary = {code: share(lambda f, code=code: str(code in f.primary)) for code in codes}  # type: ignore[misc]
    blame = share(lambda f: f.blame)
    merged = []
    for unit, by in answers.items():
        sure = {code: primary[code][unit].get("True", 0.0) for code in codes}
        chosen = _chosen(sure, by)
        also = {code for code in codes if named[code][unit].get("True", 0.0) > 0.5}
        merged.append(
            Failure(
                episode_id=unit,
                task_id=(first := next(iter(by.values()))).task_id,
                benchmark=first.benchmark,
                domain=first.domain,
                categories=tuple(code for code in codes if code in also or code in chosen),
                primary=chosen,
                fits_none=not (chosen or also),
                step=_step(by, chosen),
                blame=_blame(blame[unit]),
                evidence=_evidence(by, chosen),
                rationale="; ".join(f"{rater}: {category_label(f.primary)}" for rater, f in by.items()),
                labeller=f"{COMBINED}{method}",
                confidence=round(min((sure[code] for code in chosen), default=1 - max(sure.values())), 3),
                taxonomy_version=taxonomy_version,
            )
        )
    differ = [f for f in merged if len({frozenset(one.primary) for one in answers[f.episode_id].values()}) > 1]
    return Consensus(
        method=method,
        labellers=raters,
        labels=tuple(merged),
        disputed=tuple(sorted(differ, key=lambda f: (f.confidence or 0.0, f.episode_id))),
        quality=tuple(_quality(labels, codes, {f.episode_id: f for f in merged})),
        alone=sum(count == 1 for count in known.values()),
    )


@lru_cache(maxsize=64)
def _posterior(answers: tuple[tuple[str, str, str], ...], method: Method) -> Mapping[str, Mapping[str, float]]:
    """Turn (unit, rater, answer) rows into unit → answer → probability; answers that are all the same are certain.

    A category that nobody named without calling it primary has the same rows twice.
    """
    options = sorted({answer for _, _, answer in answers})
    if len(options) == 1:
        return {unit: {options[0]: 1.0} for unit, _, _ in answers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk, which crowd-kit imports, warns about its own deprecations
        import pandas as pd
        from crowdkit.aggregation import DawidSkene, MajorityVote

    table = pd.DataFrame(answers, columns=["task", "worker", "label"])
    shares = (DawidSkene(n_iter=100) if method == "dawid-skene" else MajorityVote()).fit_predict_proba(table)
    return {str(unit): {str(name): float(value) for name, value in row.items()} for unit, row in shares.iterrows()}


def _chosen(sure: Mapping[str, float], by: Mapping[str, Failure]) -> tuple[str, ...]:
    """Return the primary categories of a failure, from how likely each is; see ``combine``."""
    likely = tuple(code for code, chance in sure.items() if chance > 0.5)
    if likely or 2 * sum(not (f.primary or f.categories) for f in by.values()) > len(by):
        return likely
    told = [code for code in sure if any(code in f.primary for f in by.values())]
    return tuple(code for code in told if sure[code] > max(sure[one] for one in told) - 1e-9)


def _step(by: Mapping[str, Failure], chosen: Sequence[str]) -> int | None:
    steps = sorted(f.step for f in by.values() if f.step is not None and set(f.primary) & set(chosen))
    return steps[(len(steps) - 1) // 2] if steps else None


def _blame(shares: Mapping[str, float]) -> Blame:
    """Return the likeliest; the agent where it is a draw."""
    order: tuple[Blame, ...] = ("agent", "user", "environment")
    return max(order, key=lambda who: shares.get(who, 0.0))


def _evidence(by: Mapping[str, Failure], chosen: Sequence[str]) -> tuple[Evidence, ...]:
    """Return the findings of those who agree with the consensus, each once."""
    agreeing = [f for f in by.values() if set(f.primary) & set(chosen)]
    return tuple(dict.fromkeys(item for failure in agreeing for item in failure.evidence))


def _quality(labels: Labels, codes: Sequence[str], truth: Mapping[str, Failure]) -> list[Quality]:
    rows = []
    for rater, own in labels.items():
        both = [(own[unit], truth[unit]) for unit in truth if unit in own]
        for code in codes:
            has = [code in mine.categories for mine, ours in both if code in ours.categories]
            lacks = [code not in mine.categories for mine, ours in both if code not in ours.categories]
            rows.append(
                Quality(
                    labeller=rater,
                    category=code,
                    told=sum(code in mine.categories for mine, _ in both),
                    sensitivity=sum(has) / len(has) if has else None,
                    specificity=sum(lacks) / len(lacks) if lacks else None,
                )
            )
    return rows
