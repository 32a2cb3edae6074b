"""Hand-made labels of failures."""

from fama.episodes.records import Blame, Failure

CODES = ("DCV", "WRCO", "CM", "IFU")


def label(
    number: int,
    *categories: str,
    labeller: str = "a",
    step: int | None = None,
    blame: Blame = "agent",
    taxonomy: str = "fama-4/1",
) -> Failure:
    return Failure(
        episode_id=f"e{number}",
        task_id=f"t{number // 2}",
        categories=categories,
        primary=categories[:1],
        step=step,
        blame=blame,
        labeller=labeller,
        taxonomy_version=taxonomy,
    )
