"""Properties of many tasks: gold solves all, doing nothing or closing at once solves none."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from fama.envs.base import Action
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.engine import HelpdeskEnvironment
from fama.envs.helpdesk.gold import play
from fama.envs.helpdesk.task_records import Analysis, Task, call
from fama.envs.helpdesk.tasks import analysis_of, build_task, generator_of

DOMAINS = ("shop", "saas")
LEVELS = (1, 2, 3)


def first_ids(domain: str, split: str, count: int = 1000) -> Sequence[str]:
    return Helpdesk().task_ids(domain, split)[:count]


def world(domain: str, task: Task) -> HelpdeskEnvironment:
    return HelpdeskEnvironment(generator_of(domain).domain, task)


@pytest.fixture(scope="module", params=DOMAINS)
def analysed(request: pytest.FixtureRequest) -> tuple[str, list[Analysis]]:
    domain = str(request.param)
    return domain, [analysis_of(task_id) for task_id in first_ids(domain, "train")]


@pytest.mark.parametrize("domain", DOMAINS)
async def test_gold_solves_every_task_and_shortcuts_solve_none(domain: str) -> None:
    ids = [*first_ids(domain, "dev", 300), *first_ids(domain, "train", 300), *first_ids(domain, "test", 400)]
    assert len(ids) == 1000
    for number, task_id in enumerate(ids):
        task = build_task(domain, task_id)
        environment = world(domain, task)
        gold = await play(environment, task.gold, seed=number % 5)
        assert gold.reward.success, task_id
        assert gold.reward.detail == {"state": 1, "information": 1, "closing": 1, "strict": 1, "state_only": 1}
        assert gold.reason == "closed"
        await environment.reset(0)
        assert environment.outcome().detail["state"] == 0, task_id
        assert not environment.outcome().success
        for outcome in ("resolved", "refused"):
            closed = await play(environment, [call("close_case", outcome=outcome)], seed=0)
            assert not closed.reward.success, task_id


def test_refusals_families_levels_and_traps_are_spread(analysed: tuple[str, list[Analysis]]) -> None:
    domain, analyses = analysed
    assert 0.25 <= sum(a.refused for a in analyses) / 1000 <= 0.30
    cells = Counter((a.family, a.level) for a in analyses)
    families = generator_of(domain).families
    assert set(cells) == {(family, level) for family in families for level in LEVELS}
    for level, share in {1: 1 / 2, 2: 1 / 4, 3: 1 / 4}.items():
        assert all(abs(cells[family, level] - 1000 / len(families) * share) <= 2 for family in families)
    assert len(families) >= 6
    for family in families:
        assert any(a.corrected for a in analyses if a.family == family), family
        assert any(a.refused for a in analyses if a.family == family), family
    traps = Counter(code for a in analyses for code in a.traps)
    assert set(traps) == {"DCV", "WRCO", "CM", "IFU"}
    assert min(traps.values()) >= 200
    assert all(a.traps for a in analyses)


@pytest.mark.parametrize("domain", DOMAINS)
def test_outcome_refused_is_a_quarter(domain: str) -> None:
    outcomes = Counter(build_task(domain, task_id).outcome for task_id in first_ids(domain, "test", 600))
    assert 0.22 <= outcomes["refused"] / 600 <= 0.30


@pytest.mark.parametrize("domain", DOMAINS)
def test_small_samples_are_balanced_too(domain: str) -> None:
    for split in ("dev", "test"):
        sample = [analysis_of(task_id) for task_id in first_ids(domain, split, 72)]
        assert 0.2 <= sum(a.refused for a in sample) / 72 <= 0.35
        assert set(Counter(a.family for a in sample).values()) == {12}


@pytest.mark.parametrize("domain", DOMAINS)
def test_splits_share_no_task(domain: str) -> None:
    seen: set[str] = set()
    for split in ("dev", "train", "test"):
        for task_id in first_ids(domain, split, 150):
            seen.add(str(build_task(domain, task_id).gold))
    assert len(seen) == 450


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_task_is_generated_in_milliseconds_and_always_the_same(domain: str) -> None:
    started = time.process_time()
    tasks = [build_task(domain, task_id) for task_id in first_ids(domain, "dev", 300)]
    assert (time.process_time() - started) / 300 < 0.004
    assert tasks == [build_task(domain, task_id) for task_id in first_ids(domain, "dev", 300)]


@pytest.mark.parametrize("domain", DOMAINS)
async def test_same_task_and_seed_give_the_same_conversation(domain: str) -> None:
    differs = 0
    for task_id in first_ids(domain, "dev", 40):
        task = build_task(domain, task_id)
        one, two = [await play(world(domain, task), task.gold, seed=7) for _ in range(2)]
        other = await play(world(domain, task), task.gold, seed=8)
        assert one == two
        differs += one.messages != other.messages
    assert differs > 35


@pytest.mark.parametrize("domain", DOMAINS)
async def test_gold_is_neither_trivial_nor_endless(domain: str) -> None:
    lengths = [len(build_task(domain, task_id).gold) for task_id in first_ids(domain, "dev", 300)]
    assert min(lengths) >= 5
    assert max(lengths) <= 16
    assert 7 <= sum(lengths) / 300 <= 10


def without(actions: Sequence[Action], index: int) -> list[Action]:
    return [action for i, action in enumerate(actions) if i != index]


@pytest.mark.parametrize("domain", DOMAINS)
async def test_every_part_of_the_verdict_is_needed(domain: str) -> None:
    source = generator_of(domain)
    counted: Counter[str] = Counter()
    for task_id in first_ids(domain, "dev", 200):
        task, analysis = build_task(domain, task_id), analysis_of(task_id)
        gold = list(task.gold)
        environment = world(domain, task)
        other = "refused" if task.outcome == "resolved" else "resolved"
        played = await play(environment, [*gold[:-1], call("close_case", outcome=other)], 0)
        assert played.reward.detail == {"state": 1, "information": 1, "closing": 0, "strict": 0, "state_only": 1}
        silent = [a for a in gold if a.tool is not None]
        played = await play(environment, silent, 0)
        assert played.reward.detail["information"] < 1, task_id
        changes = [i for i, a in enumerate(gold) if a.tool and source.domain.tools[a.tool].changes]
        for i in changes:
            played = await play(environment, without(gold, i), 0)
            assert played.reward.detail["state"] == 0, task_id
            counted["change"] += 1
        if changes:  # the same change without the user's yes does not count
            played = await play(environment, silent, 0)
            assert played.reward.detail["state"] == 0, task_id
        if task.outcome == "refused":
            looks = [i for i, a in enumerate(gold) if any(c.tool == a.tool for g in task.goals for c in g.evidence)]
            blind = [a for i, a in enumerate(gold) if i not in looks]
            played = await play(environment, blind, 0)
            assert played.reward.detail["closing"] == 0, task_id
            counted["refusal"] += 1
        if analysis.corrected and task.goals[0].fix_when == "proposal":
            counted["correction"] += 1
    assert min(counted["change"], counted["refusal"], counted["correction"]) > 12
