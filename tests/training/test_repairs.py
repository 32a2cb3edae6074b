"""Routers for every turn: examples from mined repairs, and a SYNTHETIC world whose right helpers are known."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fama.mining.runner as mining_runner
import training.rounds as rounds
from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.cli import main
from fama.config import dump_settings
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Episode
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.errors import BadInput, FamaError
from fama.hashing import content_hash
from fama.mining.episode import try_episode
from fama.mining.records import REPAIRS, Repair
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.mining.source import Refusal
from fama.selection.router.checkpoint import load_router
from fama.selection.router.turn import featurise_turn, turn_evidence_names
from fama.settings import ExperimentSettings, RunSettings, SelectorSettings
from tests.support.mining_worlds import (
    NAMED,
    POOL,
    Backbone,
    PuzzleEnvironment,
    Puzzles,
    plain_run,
    puzzles,
    random_puzzle,
)
from training.correction import CorrectionSettings
from training.data.examples import Example
from training.data.load import load_examples
from training.data.repairs import repair_examples
from training.rounds import train_in_rounds
from training.settings import TrainSettings
from training.train import train


@contextmanager
def hints() -> Iterator[None]:
    """Random puzzles that the pool can repair, whose needs are told before each decision; every second is for tests."""
    found = {f"p{number}": random_puzzle(number) for number in range(100)}
    with puzzles({task: puzzle for task, puzzle in found.items() if puzzle.fewest() is not None}):
        PuzzleEnvironment.hints = True
        yield


@pytest.fixture(scope="module")
def hinted_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plain run of the puzzles with hints, and what was mined of it; nobody writes there."""
    with hints():
        return asyncio.run(mined(tmp_path_factory.mktemp("hinted")))


@pytest.fixture
def hinted(hinted_once: tuple[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """The same folders, with their benchmark and helpers registered for the length of a test."""
    with hints():
        yield hinted_once


async def mined(tmp_path: Path) -> tuple[Path, Path]:
    plain, out = await plain_run(tmp_path / "plain"), tmp_path / "repairs"
    settings = MineSettings.model_validate({"exact": 10_000, "budget": {"calls": None}})
    await mine_folder(plain, settings, out, model=Backbone())
    return plain, out


def read(plain: Path, out: Path) -> tuple[list[Repair], dict[str, Episode]]:
    episodes = {one.id: one for folder in (plain, out) for one in read_episodes(folder)}
    return list(RecordStore(out / REPAIRS, Repair).read()), episodes


def rows_of(examples: tuple[Example, ...], task: str) -> list[tuple[tuple[bool, ...], bool | None]]:
    return [(one.subset or (), one.success) for one in examples if one.task.endswith(task)]


async def test_rows_of_a_known_repair(tmp_path: Path) -> None:
    tasks = {"single": NAMED["single"], "odd": NAMED["solved"], "two decisions": NAMED["two decisions"]}
    with puzzles(tasks):
        records, episodes = read(*await mined(tmp_path))
        found = repair_examples(records, episodes, POOL, balance=None)
    none, alpha, beta = (False, False), (True, False), (False, True)
    # Alpha at decision 1 repairs; then nobody is needed at decision 2 of the repaired episode
    assert sorted(rows_of(found.examples, "single"), key=str) == sorted(
        [
            *[(none, False), (alpha, False), (beta, False), ((True, True), False)] * 2,
            *[(none, False), (alpha, True), (beta, False)],
            (none, True),
        ],
        key=str,
    )
    # Alpha at 0 alone fails, but is the first note of a repair with Beta at 2: it counts as help
    rows = rows_of(found.examples, "two decisions")
    assert rows.count((alpha, True)) == 1 and rows.count((beta, True)) == 1
    first = [one for one in found.examples if one.task.endswith("two decisions") and one.subset == alpha]
    assert [one.success for one in first if one.features == first[0].features] == [True]
    after = next(one.features for one in found.examples if one.subset == beta and one.success)
    assert {(one.subset, one.success) for one in found.examples if one.features == after} == {
        (none, False),
        (beta, True),
    }
    assert found.left_out["mined episodes of the split test"] == 1 and not rows_of(found.examples, "odd")
    assert all(one.propensity is None for one in found.examples)  # nothing was drawn at random


async def test_what_the_minimal_repair_asks_at_each_decision(tmp_path: Path) -> None:
    tasks = {name: NAMED[name] for name in ("single", "two decisions", "impossible", "solved")}
    with puzzles(tasks):
        records, episodes = read(*await mined(tmp_path))
        whole = [one.model_copy(update={"split": "train"}) for one in records]
        cut = [one.model_copy(update={"complete": False}) for one in whole if one.repair is None]
        found, unknown = (repair_examples(some, episodes, POOL, balance=None) for some in (whole, cut))

    def labels(task: str, examples: tuple[Example, ...]) -> list[tuple[bool, ...] | None]:
        rows = {one.features: one.repairing for one in examples if one.task.endswith(task)}
        return sorted(rows.values(), key=str)

    none, alpha, beta = (False, False), (True, False), (False, True)
    # three decisions of the mined episode, and those of the repaired one after its first note
    assert labels("single", found.examples) == [none, none, none, alpha]
    assert labels("two decisions", found.examples) == [none, none, beta, alpha]
    assert labels("impossible", found.examples) == labels("solved", found.examples) == [none] * 3
    assert labels("impossible", unknown.examples) == [None] * 3 and labels("solved", unknown.examples) == [none] * 3


async def test_decisions_at_which_nothing_matters_are_balanced(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"]}):
        records, episodes = read(*await mined(tmp_path))
        for balance, weight in ((1.0, 3 / 9), (0.5, 1.5 / 9), (9.0, 1.0), (None, 1.0)):
            found = repair_examples(records, episodes, POOL, balance=balance)
            assert sorted({one.weight for one in found.examples}) == pytest.approx(sorted({weight, 1.0}))
        found = repair_examples(records, episodes, POOL, balance=0.0)
    told = "decisions at which nothing changed the outcome (data.balance=null learns from them)"
    assert len(found.examples) == 3 and found.left_out[told] == 9


async def test_cost_is_that_of_the_rest_of_the_episode(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"]}):
        records, episodes = read(*await mined(tmp_path))
        found = repair_examples(records, episodes, POOL)
    log = next(one for one in episodes.values() if one.selector == "none")
    by_turn = {state_at(log, turn): turn for turn in range(3)}
    for turn in by_turn.values():
        features = featurise_turn(state_at(log, turn), POOL)
        plain = next(one for one in found.examples if one.features == features and one.subset == (False, False))
        rows = [row for row in log.ledger if row.role == "agent" and (row.turn or 0) >= turn]
        assert plain.tokens == sum(row.total_tokens or 0 for row in rows) > 0
        noted = next(one for one in found.examples if one.features == features and one.subset == (False, True))
        assert noted.tokens is not None and plain.tokens is not None and noted.tokens > plain.tokens - 20


async def test_evidence_of_a_turn(tmp_path: Path) -> None:
    with puzzles({"two decisions": NAMED["two decisions"]}):
        _, episodes = read(*await mined(tmp_path))
    repaired = next(one for one in episodes.values() if one.selector == "repair")
    names = turn_evidence_names(POOL)
    states = [featurise_turn(state_at(repaired, turn), POOL) for turn in range(3)]
    found = [dict(zip(names, state.evidence[-len(names) :], strict=True)) for state in states]
    assert [one["noted:Alpha"] for one in found] == [0.0, 1.0, 0.5]
    assert [one["noted_lately:Alpha"] for one in found] == [0.0, 1.0, 0.5]
    assert [one["noted:Beta"] for one in found] == [0.0, 0.0, 0.0]
    assert [sum(one[name] for name in names if name.startswith("last_call:")) for one in found] == [0.0, 1.0, 1.0]
    assert [one["calls_since_user"] for one in found] == pytest.approx([0.0, 1 / 2, 2 / 3])


@pytest.mark.parametrize("kind", ["linear", "boosting"])
async def test_a_router_for_every_turn_finds_the_known_helpers_on_other_tasks(
    tmp_path: Path, hinted: tuple[Path, Path], kind: str
) -> None:
    plain, out = hinted
    settings = TrainSettings.model_validate(
        {
            "kind": kind,
            "data": {"pool": POOL, "repairs": [{"repairs": str(out), "episodes": str(plain)}]},
            "vectors": {"latest": 1, "components": 12},
            "linear": {"strengths": [0.3, 1.0]},
            "decision": {"lam": 0.0, "epsilon": 0.1},
        }
    )
    manifest = train(settings, tmp_path / "router")
    assert manifest is not None and manifest.cadence == "turn" and manifest.cost_unit == "tokens"
    assert manifest.forms == dict.fromkeys(POOL, "template")
    assert {part.part for part in manifest.cost or ()} == {"plain run", "mining", "training"}
    assert manifest.prompts_hash == tuple({content_hash(one.prompt_hashes) for one in read_episodes(out)})
    card = (tmp_path / "router" / "README.md").read_text(encoding="utf-8")
    assert "states that its own choices lead to" in card and "one subset held for a whole episode" not in card
    solved = {}
    tests = Puzzles().task_ids("d", "test")
    arms: dict[str, Any] = {
        "none": SelectorSettings(),
        "all": SelectorSettings(name="all"),
        "learned": SelectorSettings(name="learned", options={"checkpoint": str(tmp_path / "router")}),
    }
    notes = {}
    for name, arm in arms.items():
        run = RunSettings.model_validate(
            {"benchmark": "puzzles", "domain": "d", "split": "test", "tasks": list(tests), "demonstrations": 0}
            | {"helpers": {"pool": list(POOL)}, "cadence": "turn"}
        )
        await run_planned(run, [Planned(t, 0, arm) for t in tests], tmp_path / name, model=Backbone(), progress=False)
        episodes = list(read_episodes(tmp_path / name))
        solved[name] = sum(one.outcome.status == "success" for one in episodes)
        notes[name] = sum(len(decision.notes) for one in episodes for decision in one.decisions)
    assert solved["none"] == 0 and solved["all"] == len(tests)
    assert solved["learned"] >= 0.75 * len(tests)
    assert notes["learned"] <= 0.7 * notes["all"]


def test_what_cannot_be_trained_on_or_asked_is_refused(
    tmp_path: Path, hinted: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plain, out = hinted
    source = [{"repairs": str(out), "episodes": str(plain)}]
    data = f"data={{pool: [Alpha, Beta], repairs: [{{repairs: {out}, episodes: {plain}}}]}}"
    assert main(["train", data, "vectors.components=4", "--out", str(tmp_path / "router")]) == 0
    assert load_router(tmp_path / "router").manifest.cadence == "turn"
    run = ["run", "benchmark=puzzles", "domain=d", "split=train", "tasks=1", "helpers.pool=[Alpha, Beta]"]
    chosen = f"selector={{name: learned, options: {{checkpoint: {tmp_path / 'router'}}}}}"
    assert main([*run, "model.name=scripted:echo", chosen, "demonstrations=0", "--out", str(tmp_path / "r")]) == 2
    assert "trained to choose before every decision" in capsys.readouterr().err
    for change, said in (
        ({"view": "retrospective"}, "data.repairs are states before decisions"),
        ({"outcomes": ["x.parquet"]}, "train two routers"),
        ({"repairs": [], "cost": "seconds"}, "labels have no cost"),
    ):
        with pytest.raises(ValueError, match=said):
            TrainSettings.model_validate({"data": {"pool": POOL, "repairs": source, **change}})
    drawn: tuple[dict[str, Any], ...] = (
        {"guarantee": {}},
        {"losses": {"inverse_propensity": True}},
        {"kind": "encoder", "losses": {"decision": 1.0}},
    )
    for more in drawn:
        with pytest.raises(ValueError, match="not drawn at random"):
            TrainSettings.model_validate({"data": {"pool": POOL, "repairs": source}, **more})
    for sources, said in (
        ({"repairs": [*source, *source]}, "is in two folders; name one"),
        ({"repairs": source, "benchmark_version": "puzzles-9"}, "is of puzzles-1, not of"),
    ):
        with pytest.raises(BadInput, match=said):
            load_examples(TrainSettings.model_validate({"data": {"pool": POOL, **sources}}))
    records, episodes = read(plain, out)
    with pytest.raises(BadInput, match=r"mined with the pool Alpha\+Beta, data.pool is Alpha"):
        repair_examples(records, episodes, ("Alpha",))
    with pytest.raises(BadInput, match="neither among the mined episodes nor beside the repairs"):
        repair_examples(records, {}, POOL)
    wrong = f"data={{pool: [Alpha, Beta], repairs: [{{repairs: {plain}, episodes: {plain}}}]}}"
    assert main(["train", wrong, "--out", str(tmp_path / "router")]) == 2
    assert "holds no repairs.jsonl; give the folder that a command wrote it into" in capsys.readouterr().err


def correcting(tmp_path: Path, source: list[dict[str, str]], **changes: Any) -> TrainSettings:
    run = {"benchmark": "puzzles", "domain": "d", "split": "train", "tasks": list(Puzzles().task_ids("d", "train"))}
    return TrainSettings.model_validate(
        {
            "data": {"pool": POOL, "repairs": source},
            "vectors": {"latest": 1, "components": 12},
            "linear": {"strengths": [0.3, 1.0]},
            "decision": {"lam": 0.0, "epsilon": 0.2},
            "rounds": 2,
            "correction": {"run": {**run, "demonstrations": 0, "helpers": {"pool": POOL}, **changes}},
        }
    )


@pytest.mark.parametrize("stated", [{"run": {"cadence": "episode"}}, {"mine": {"base": "none"}}])
def test_a_round_is_of_the_router_at_every_turn_and_says_so(stated: dict[str, Any], tmp_path: Path) -> None:
    source = [{"repairs": str(tmp_path), "episodes": str(tmp_path)}]
    settings = correcting(tmp_path, source)
    assert settings.correction is not None
    assert (settings.correction.run.cadence, settings.correction.mine.base) == ("turn", "selector")
    given = settings.correction.run.model_dump(exclude={"cadence"})
    built = CorrectionSettings(run=ExperimentSettings.model_validate(given), mine=MineSettings(solved=0))
    assert (built.run.cadence, built.mine.base, built.mine.solved) == ("turn", "selector", 0)
    tree = dump_settings(settings)
    assert TrainSettings.model_validate(tree) == settings
    ((part, wrong),) = stated.items()
    with pytest.raises(ValueError, match=rf"{part}\.{next(iter(wrong))}: a round"):
        TrainSettings.model_validate(
            {**tree, "correction": {**tree["correction"], part: {**tree["correction"][part], **wrong}}}
        )


def test_a_round_of_correction_adds_what_the_router_fails(tmp_path: Path, hinted: tuple[Path, Path]) -> None:
    plain, out = hinted
    settings = correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}])
    first, second = Backbone(), Backbone()
    lines: list[str] = []
    manifest = train_in_rounds(settings, tmp_path / "router", model=first, told=lines.append)
    assert manifest is not None and first.asked > 0
    assert [line.split(":")[0].split(",")[0] for line in lines if not line.startswith("d/")] == [
        "round 1 of 2",
        f"running it on {len(list(read_episodes(tmp_path / 'router' / 'work' / 'round-1' / 'run')))} training tasks",
        "mining what it fails",
        "round 2 of 2",
    ]
    work = tmp_path / "router" / "work" / "round-1"
    episodes, found = list(read_episodes(work / "run")), list(RecordStore(work / "repairs" / REPAIRS, Repair).read())
    failed = [one.id for one in episodes if one.outcome.status == "failure"]
    assert [line for line in lines if line.startswith("d/")] == [one.in_a_line() for one in found]
    assert failed and {one.episode_id for one in found if one.kind == "failed"} == set(failed)
    assert {one.arm for one in found} == {"learned"}
    assert len(load_router(work / "router").manifest.cost or ()) < len(manifest.cost or ())
    assert sum(part.part == "mining" for part in manifest.cost or ()) == 2
    lines.clear()
    again = train_in_rounds(settings, tmp_path / "router", model=second, told=lines.append)
    assert lines[0] == f"round 1 of 2: going on from {work / 'router'}" and len(lines) == 4
    assert second.asked == 0 and again is not None and again.data_hash == manifest.data_hash
    other = settings.model_copy(update={"seed": 1})
    with pytest.raises(BadInput, match="round of other settings or data is here"):
        train_in_rounds(other, tmp_path / "router", model=second)
    plain_cost = [part.tokens for part in manifest.cost or () if part.source == str(work / "run")]
    assert plain_cost == [sum(row.total_tokens or 0 for one in episodes for row in one.ledger)]
    (work / "router" / "router.json").unlink()
    assert train_in_rounds(settings, tmp_path / "router", model=second) is not None and second.asked == 0
    stored = work / "settings.json"
    stored.write_text(stored.read_text(encoding="utf-8").replace('"files": {', '"files": {"x": "y",'), encoding="utf-8")
    with pytest.raises(BadInput, match="is not the router whose episodes are in"):
        train_in_rounds(settings, tmp_path / "router", model=second)
    for change, said in (({"split": "test"}, "learn from test tasks"), ({"helpers": {"pool": ["Beta"]}}, "make them")):
        with pytest.raises(ValueError, match=said):
            correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}], **change)


def test_rounds_in_another_form_than_the_repairs_are_refused_before_anything_is_run(
    tmp_path: Path, hinted: tuple[Path, Path]
) -> None:
    plain, out = hinted
    settings = correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}])
    assert settings.correction is not None
    run = settings.correction.run
    other = run.helpers.model_copy(update={"form": "llm"})
    for change in (
        {"run": run.model_copy(update={"helpers": other})},
        {"mine": settings.correction.mine.model_copy(update={"helpers": other})},
    ):
        model = Backbone()
        changed = settings.model_copy(update={"correction": settings.correction.model_copy(update=change)})
        told = r"would be mined with Alpha \(llm\), Beta \(llm\), .* with Alpha \(template\), Beta \(template\); make"
        with pytest.raises(BadInput, match=told):
            train_in_rounds(changed, tmp_path / "router", model=model)
        assert model.asked == 0 and not (tmp_path / "router").exists()


def test_repairs_that_a_later_round_has_used_stay_as_they_are(
    tmp_path: Path, hinted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An episode whose replay differed would be mined when the command is run again."""
    plain, out = hinted
    settings = correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}]).model_copy(update={"rounds": 3})
    refused: list[str] = []

    async def failing_once(bench: Any, log: Episode, split: str | None) -> Any:
        if log.outcome.status == "failure" and not refused:
            refused.append(log.id)
            return Refusal("not mined: message 3: not as in the log", passing=False)
        return await try_episode(bench, log, split)

    monkeypatch.setattr(mining_runner, "try_episode", failing_once)
    with monkeypatch.context() as stopping:
        stopping.setattr(rounds, "train", lambda settings, folder, command: stop(settings, folder, command))
        with pytest.raises(KeyboardInterrupt):
            train_in_rounds(settings, tmp_path / "router", model=Backbone())
    work = tmp_path / "router" / "work"
    before = {path: path.read_bytes() for path in work.rglob(REPAIRS)}
    assert len(before) == 2 and refused
    again = Backbone()
    assert train_in_rounds(settings, tmp_path / "router", model=again) is not None
    first = work / "round-1" / "repairs" / REPAIRS
    assert first.read_bytes() == before[first] and refused[0] not in first.read_text(encoding="utf-8")


@pytest.mark.parametrize("failures", [1, 99])
def test_a_model_that_fails_does_not_end_the_rounds(
    failures: int, tmp_path: Path, hinted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command mines the rest, before a later round learns from it."""
    plain, out = hinted
    settings = correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}])

    left: set[str] = set()

    async def failing(bench: Any, log: Any, split: Any) -> Any:
        if len(left) >= failures:
            return await try_episode(bench, log, split)
        left.add(log.id)
        return Refusal(f"{log.key}: not mined: the model failed: HTTP 503", passing=True)

    with monkeypatch.context() as failed:
        failed.setattr(mining_runner, "try_episode", failing)
        with pytest.raises(FamaError, match=r"episodes (could not be mined, for the reasons above|in a row could not)"):
            train_in_rounds(settings, tmp_path / "router", model=Backbone())
    assert left and not (tmp_path / "router" / "router.json").exists()
    assert train_in_rounds(settings, tmp_path / "router", model=Backbone()) is not None
    mined_ids = {r.episode_id for r in RecordStore(tmp_path / "router/work/round-1/repairs" / REPAIRS, Repair).read()}
    assert left <= mined_ids


def stop(settings: TrainSettings, folder: Path, command: str) -> Any:
    """Train the router of a round, and stop before the last one."""
    if "round-" not in str(folder):
        raise KeyboardInterrupt
    return train(settings, folder, command)


def test_a_router_that_fails_nothing_ends_the_rounds(tmp_path: Path, caplog: Any) -> None:
    tasks = {f"p{number}": random_puzzle(number) for number in range(24)}
    with puzzles({"easy": NAMED["solved"], **tasks}):
        plain, out = asyncio.run(mined(tmp_path))
        settings = correcting(tmp_path, [{"repairs": str(out), "episodes": str(plain)}], tasks=["easy"])
        assert settings.correction is not None
        mine = settings.correction.mine.model_copy(update={"solved": 0})
        settings = settings.model_copy(update={"correction": settings.correction.model_copy(update={"mine": mine})})
        lines: list[str] = []
        manifest = train_in_rounds(settings, tmp_path / "router", model=Backbone(), told=lines.append)
    assert manifest is not None and "failed nothing that could be mined" in caplog.text
    assert lines[0] == f"round 1 of 2: training {tmp_path / 'router' / 'work' / 'round-1' / 'router'}"
    assert lines[-1] == f"no round after 1: training {tmp_path / 'router'}"
