from dataclasses import replace

import pytest

from fama.errors import BadInput
from fama.selection.router.features import Features, Segment
from fama.subsets import POOL
from training.data.examples import Example, outcome_examples
from training.data.splits import keep_apart, split_by_task
from training.data.synthetic import make_tasks, outcome_rows


def example(task: str, text: str) -> Example:
    return Example(task, Features((Segment("policy", "the same"), Segment("user", text)), ()), success=True)


def test_a_task_is_on_one_side_only() -> None:
    data = outcome_examples(outcome_rows(make_tasks(80)), POOL)
    split = split_by_task(data.examples, 0.25, seed=0)
    train, held = ({e.task for e in side} for side in (split.train, split.validation))
    assert not train & held
    assert len(train | held) == 80
    assert 8 <= len(held) <= 32
    assert len(split.train) + len(split.validation) == len(data.examples)


def test_no_conversation_of_validation_is_trained_on() -> None:
    data = outcome_examples(outcome_rows(make_tasks(80)), POOL)
    twins = [example(f"twin{n}", f"word for word {n % 10}") for n in range(40)]
    split = split_by_task([*data.examples, *twins], 0.25, seed=3)
    seen = {segment.text for e in split.train for segment in e.features.history() if len(segment.text) > 40}
    assert {e.features.history() for e in split.train}.isdisjoint({e.features.history() for e in split.validation})
    held = {segment.text for e in split.validation for segment in e.features.history() if segment.position == 0}
    references = {text for text in held if "My reference" in text}
    assert references and references.isdisjoint(seen)


def test_chains_of_twins_stay_together() -> None:
    chain = [example(f"t{n:02d}", text) for n in range(30) for text in (f"line {n}", f"line {n + 1}")]
    with pytest.raises(BadInput, match=r"splitting 30 tasks leaves one side empty, since equal conversations tie them"):
        split_by_task(chain, 0.5, seed=0)


@pytest.mark.parametrize("share", [0.02, 0.25, 0.98])
def test_a_small_table_has_a_task_on_either_side(share: float) -> None:
    two, eight = ([example(f"t{n}", f"line {n}") for n in range(size)] for size in (2, 8))
    for seed in range(50):
        for few in (two, eight):
            split = split_by_task(few, share, seed)
            assert split.train and split.validation and len(split.train) + len(split.validation) == len(few)
    apart = [*two, *(replace(example(f"u{n}", f"other {n}"), domain="saas") for n in range(2))]
    for seed in range(50):
        split = split_by_task(apart, share, seed, domains=["saas"])
        assert len(split.train) == len(split.validation) == 1


def test_a_small_table_keeps_a_training_task_whatever_the_share_that_is_used() -> None:
    few = [example(f"t{n}", f"line {n}") for n in range(4)]
    for seed in range(50):
        used = [{e.task for e in split_by_task(few, 0.25, seed, kept=kept).train} for kept in (0.01, 0.3, 0.7, 1.0)]
        assert used[0] and all(less <= more for less, more in zip(used, used[1:], strict=False))


def test_what_cannot_be_split_names_the_setting_that_asks_for_it() -> None:
    two = [example(f"t{n}", f"line {n}") for n in range(2)]
    for seed in range(10):
        split = split_by_task(two, 0.25, seed)
        with pytest.raises(
            BadInput, match=r"^guarantee.share: splitting 1 task leaves one side empty; give more tasks$"
        ):
            keep_apart(split, 0.25, seed)
    with pytest.raises(BadInput, match=r"^data.validation: splitting 1 task not held out leaves one side"):
        split_by_task([two[0], replace(two[1], domain="saas")], 0.25, 0, domains=["saas"])


def test_the_split_is_stable_and_hashed() -> None:
    data = outcome_examples(outcome_rows(make_tasks(40)), POOL).examples
    first, again, other = (split_by_task(data, 0.25, seed) for seed in (0, 0, 1))
    assert first.hash == again.hash != other.hash
    more = outcome_examples(outcome_rows(make_tasks(60)), POOL).examples
    held = {e.task for e in first.validation}
    old = {e.task for e in data}
    assert {e.task for e in split_by_task(more, 0.25, 0).validation} & old == held


def across() -> list[Example]:
    """Twelve tasks of two domains, each by two backbones."""
    return [
        Example(
            f"b/{domain}/{n}",
            Features((Segment("user", f"{domain} {n}", 0),), (0.0,)),
            domain=domain,
            backbone=backbone,
        )
        for domain in ("shop", "saas")
        for n in range(6)
        for backbone in ("small", "large")
    ]


def test_a_domain_is_held_out_whole() -> None:
    split = split_by_task(across(), 0.4, 0, domains=["saas"])
    assert {e.domain for e in (*split.train, *split.validation)} == {"shop"}
    assert len(split.held_out) == 12 and {e.domain for e in split.held_out} == {"saas"}
    assert split.hash != split_by_task(across(), 0.4, 0).hash


def test_a_backbone_is_held_out_on_tasks_that_no_other_trains_on() -> None:
    split = split_by_task(across(), 0.4, 0, backbones=["large"])
    assert {e.backbone for e in (*split.train, *split.validation)} == {"small"}
    assert split.held_out and {e.backbone for e in split.held_out} == {"large"}
    assert not {e.task for e in split.held_out} & {e.task for e in split.train}
    assert {e.task for e in split.held_out} == {e.task for e in split.validation}


def test_a_backbone_that_ran_few_tasks_is_held_out_on_one_of_them() -> None:
    few = [one for one in across() if one.backbone == "small" or one.task in ("b/shop/1", "b/saas/4")]
    two = [one for one in across() if one.task == "b/shop/1" or (one.task, one.backbone) == ("b/shop/2", "small")]
    for seed, examples in ((seed, examples) for seed in range(50) for examples in (few, two)):
        split = split_by_task(examples, 0.25, seed, backbones=["large"])
        assert split.train and split.validation and split.held_out
        assert not {e.task for e in split.held_out} & {e.task for e in split.train}
    one = [replace(example("t0", "line"), backbone=backbone) for backbone in ("small", "large")]
    with pytest.raises(BadInput, match="data.validation: splitting 1 task not held out leaves one side"):
        split_by_task(one, 0.25, 0, backbones=["large"])


def test_what_is_held_out_must_be_there() -> None:
    with pytest.raises(BadInput, match="hold_out_domains: no example of 'moon'; there are: saas, shop"):
        split_by_task(across(), 0.4, 0, domains=["moon"])
    with pytest.raises(BadInput, match="no example of 'gpt'"):
        split_by_task(across(), 0.4, 0, backbones=["gpt"])


def test_a_share_of_the_training_tasks_is_part_of_a_larger_one() -> None:
    data = outcome_examples(outcome_rows(make_tasks(60)), POOL).examples
    whole, half, quarter = (split_by_task(data, 0.25, 0, kept=kept) for kept in (1.0, 0.5, 0.25))
    tasks = [{example.task for example in split.train} for split in (quarter, half, whole)]
    assert tasks[0] < tasks[1] < tasks[2] and 10 < len(tasks[1]) < 35
    assert whole.validation == half.validation == quarter.validation
    assert len({whole.hash, half.hash, quarter.hash}) == 3 and whole.hash == split_by_task(data, 0.25, 0).hash
    assert len({example.task for example in split_by_task(data, 0.25, 0, kept=1e-9).train}) == 1
