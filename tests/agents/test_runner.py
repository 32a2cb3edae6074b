import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned, load_benchmark, select_tasks
from fama.agents.runs.run_config import FREE, ROUTE, config_hash
from fama.agents.runs.runner import run_planned
from fama.agents.runs.summary import summarise_run
from fama.config import dump_settings
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.errors import BadInput, ModelError
from fama.hashing import content_hash
from fama.models.scripted import SCRIPTED
from fama.settings import ExperimentSettings, ModelSettings, RunSettings, SelectorSettings
from tests.support.eval_builders import build
from tests.support.toy_agents import Lamps, Recorder, gold_model

pytestmark = pytest.mark.usefixtures("lamps")


def settings(**values: Any) -> RunSettings:
    tree: dict[str, Any] = {"benchmark": "lamps", "domain": "house", "tasks": 3, "helpers": {"pool": []}, **values}
    return RunSettings.model_validate(tree)


def plan(tasks: int = 3, trials: int = 1, *arms: SelectorSettings) -> list[Planned]:
    return [
        Planned(f"t{task}", trial, arm)
        for trial in range(trials)
        for task in range(tasks)
        for arm in arms or (SelectorSettings(),)
    ]


def episodes(out: Path) -> list[Episode]:
    return list(read_episodes(out))


async def test_runs_in_order_and_writes_all_three_files(tmp_path: Path) -> None:
    summary = await run_planned(settings(), plan(), tmp_path, model=gold_model())
    assert [e.task_id for e in episodes(tmp_path)] == ["t0", "t1", "t2"]
    assert summary.overall.success_rate == 1.0
    assert summary.overall.status == {"success": 3}
    assert summary.arms["none"].reasons == {"closed": 3}
    assert json.loads((tmp_path / "summary.json").read_text())["overall"]["episodes"] == 3
    config = json.loads((tmp_path / "config.json").read_text())
    assert RunSettings.model_validate(config["settings"]) == settings()
    assert config["benchmark_version"] == "1"
    assert set(config["prompts"]) >= {"agents/act.v1"}
    first = episodes(tmp_path)[0]
    assert (first.backbone, first.strategy, first.selector) == ("gold", "act", "none")
    assert first.config_hash == config["config_hash"]
    assert first.prompt_hashes == config["prompts"]


def test_the_mean_of_seconds_is_unknown_where_those_of_an_episode_are() -> None:
    known, other = build("t1", "none"), build("t2", "all", seconds=None)
    summary = summarise_run([known, known, other])
    assert summary.arms["none"].seconds == 3.0
    assert summary.arms["all"].seconds is None and summary.overall.seconds is None


async def test_resume_skips_what_is_finished(tmp_path: Path) -> None:
    await run_planned(settings(), plan(2), tmp_path, model=gold_model())
    model = gold_model()
    summary = await run_planned(settings(tasks=4, trials=2, concurrency=3), plan(4, 2), tmp_path, model=model)
    assert (summary.overall.episodes, summary.planned) == (8, 8)
    assert len(model.requests) == 6 * 3
    assert len({e.id for e in episodes(tmp_path)}) == 8


async def test_nothing_left_needs_no_model(tmp_path: Path) -> None:
    await run_planned(settings(), plan(), tmp_path, model=gold_model())
    summary = await run_planned(settings(), plan(), tmp_path)  # the default model is not even looked for
    assert summary.overall.episodes == 3


async def test_torn_episode_is_run_again(tmp_path: Path) -> None:
    await run_planned(settings(), plan(), tmp_path, model=gold_model())
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    model = gold_model()
    await run_planned(settings(), plan(), tmp_path, model=model)
    assert len(model.requests) == 3
    assert [e.task_id for e in episodes(tmp_path)] == ["t0", "t1", "t2"]


async def test_errors_are_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lamps, "broken", frozenset({"t1"}))
    summary = await run_planned(settings(), plan(), tmp_path, model=gold_model())
    assert summary.overall.status == {"success": 2, "error": 1}
    assert summary.overall.success_rate == 1.0
    assert summary.overall.reasons == {"closed": 2, "error:environment": 1}
    monkeypatch.setattr(Lamps, "broken", frozenset())
    summary = await run_planned(settings(), plan(), tmp_path, model=gold_model())
    assert summary.overall.status == {"success": 3}
    assert [e.task_id for e in episodes(tmp_path)] == ["t0", "t2", "t1"]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"strategy": "react"}, 'strategy was "act" and is now "react"'),
        ({"model": {"temperature": 0.5}}, "model.temperature was 0.0 and is now 0.5"),
        ({"selector": {"label": "plain"}}, 'selector.label was null and is now "plain"'),
    ],
)
async def test_changed_config_is_refused(tmp_path: Path, changed: dict[str, Any], key: str) -> None:
    await run_planned(settings(), plan(1), tmp_path, model=gold_model())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadInput, match=key):
        await run_planned(settings(**changed), plan(1), tmp_path, model=gold_model())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


async def test_an_edited_helper_file_is_refused(tmp_path: Path) -> None:
    file, out = tmp_path / "tone.yaml", tmp_path / "out"
    file.write_text("name: Tone\nprompt: Be kind.\n")
    chosen = settings(helpers={"pool": [str(file)]})
    await run_planned(chosen, plan(1), out, model=gold_model())
    config = json.loads((out / "config.json").read_text())
    assert "helpers/tone.yaml" in config["prompts"] and "helpers/tone.yaml" in episodes(out)[0].prompt_hashes
    await run_planned(chosen, plan(2), out, model=gold_model())
    file.write_text("name: Tone\nprompt: Be terse.\n")
    with pytest.raises(BadInput, match=r"prompts\.helpers/tone\.yaml was .* and is now"):
        await run_planned(chosen, plan(3), out, model=gold_model())
    del config["prompts"]["helpers/tone.yaml"]  # as folders of before are
    (out / "config.json").write_text(json.dumps(config))
    assert (await run_planned(chosen, plan(3), out, model=gold_model())).overall.episodes == 3
    with pytest.raises(BadInput, match=r"gone\.yaml: cannot be read \(No such file"):
        await run_planned(settings(helpers={"pool": ["gone.yaml"]}), plan(1), tmp_path, model=gold_model())


async def test_other_benchmark_version_and_foreign_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_planned(settings(), plan(1), tmp_path, model=gold_model())
    monkeypatch.setattr(Lamps, "version", lambda self, domain: "2")
    with pytest.raises(BadInput, match="benchmark_version"):
        await run_planned(settings(), plan(1), tmp_path, model=gold_model())
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadInput, match=r"no config\.json"):
        await run_planned(settings(), plan(1), tmp_path, model=gold_model())


async def test_arms_are_paired(tmp_path: Path) -> None:
    arms = [SelectorSettings(), SelectorSettings(name="fixed", label="nothing", options={"subset": []})]
    await run_planned(settings(), plan(2, 1, *arms), tmp_path, model=gold_model())
    one, other, third, _ = episodes(tmp_path)
    assert (one.selector, other.selector) == ("none", "nothing")
    assert one.seeds["environment"] == other.seeds["environment"] != third.seeds["environment"]
    assert one.seeds["model"] == other.seeds["model"]
    assert one.id != other.id


async def test_propensity_of_a_drawn_subset_is_recorded(tmp_path: Path) -> None:
    arm = SelectorSettings(name="fixed", options={"subset": [], "propensity": 0.25})
    await run_planned(settings(), plan(1, 1, arm), tmp_path, model=gold_model())
    assert {d.propensity for d in episodes(tmp_path)[0].decisions} == {0.25}


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (SelectorSettings(name="nobody"), "unknown selector 'nobody'"),
        (SelectorSettings(name="none", options={"speed": 3}), "speed"),
        (SelectorSettings(name="fixed", options={"subset": ["DCE"]}), "DCE"),
    ],
)
async def test_wrong_selector_writes_nothing(tmp_path: Path, arm: SelectorSettings, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        await run_planned(settings(), plan(1, 1, arm), tmp_path / "new", model=gold_model())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"benchmark": "chess"}, "unknown benchmark 'chess'; known: .*lamps"),
        ({"domain": "garage"}, "domain: lamps has no domain 'garage'; known: house"),
        ({"split": "test"}, "split: lamps has no split 'test'; known: dev"),
        ({"tasks": 7}, "tasks: 7"),
        ({"tasks": ["t1", "t9"]}, "t9"),
    ],
)
def test_unknown_things_are_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        wanted = settings(**changed)
        select_tasks(wanted, load_benchmark(wanted))


def test_tasks_by_number_and_by_id() -> None:
    assert select_tasks(settings(tasks=2), Lamps()) == ("t0", "t1")
    assert select_tasks(settings(tasks=["t5", "t1"]), Lamps()) == ("t5", "t1")


async def test_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    class Slow(Recorder):
        async def complete(self, request: Any) -> Any:
            if len(self.requests) == 4:
                stopped.set()
                await asyncio.sleep(60)
            return await super().complete(request)

    gold = gold_model()
    model = Slow(lambda request, n: gold._reply(request), "slow")
    run = asyncio.create_task(run_planned(settings(), plan(), tmp_path, model=model))
    await stopped.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert [e.task_id for e in episodes(tmp_path)] == ["t0"]
    assert json.loads((tmp_path / "summary.json").read_text())["overall"]["episodes"] == 1
    await run_planned(settings(), plan(), tmp_path, model=gold_model())
    assert len(episodes(tmp_path)) == 3


async def test_run_budget_survives_a_resume(tmp_path: Path) -> None:
    arm = SelectorSettings(name="all")
    limited = settings(helpers={"pool": ["TSA"], "reading": "patterns"}, budget={"run": 64})
    await run_planned(limited, plan(1, 1, arm), tmp_path, model=gold_model())
    first = episodes(tmp_path)[0]
    spent = sum(note.tokens for d in first.decisions for note in d.notes)
    await run_planned(limited, plan(3, 1, arm), tmp_path, model=gold_model())
    whole = sum(note.tokens for e in episodes(tmp_path) for d in e.decisions for note in d.notes)
    assert spent <= whole <= 64
    assert any("TSA" in d.dropped for e in episodes(tmp_path) for d in e.decisions)


async def test_budget_too_small_for_any_helper(tmp_path: Path) -> None:
    tiny = ExperimentSettings.model_validate(
        {"benchmark": "lamps", "domain": "house", "helpers": {"pool": ["TSA"]}, "budget": {"decision": 1}}
    )
    with pytest.raises(BadInput, match=r"budget\.decision"):
        await run_planned(tiny, plan(1), tmp_path, model=gold_model())


async def test_model_errors_do_not_stop_the_others(tmp_path: Path) -> None:
    gold = gold_model()
    model = Recorder(lambda request, n: ModelError("gone") if n == 0 else gold._reply(request), "shaky")
    summary = await run_planned(settings(), plan(), tmp_path, model=model, progress=True)
    assert summary.overall.status == {"error": 1, "success": 2}


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fama.cli import main

    out = tmp_path / "out"
    arguments = [
        "benchmark=lamps",
        "domain=house",
        "tasks=2",
        "trials=2",
        "helpers.pool=[]",
        "model.name=scripted:gold",
    ]
    SCRIPTED.add("gold", gold_model())
    SCRIPTED.add("mute", Recorder(lambda request, n: ModelError("mute"), "mute"))
    try:
        assert main(["run", "--out", str(out), *arguments]) == 0
        assert "100%" in capsys.readouterr().out
        assert [(e.task_id, e.trial) for e in episodes(out)] == [("t0", 0), ("t1", 0), ("t0", 1), ("t1", 1)]
        assert main(["run", "--out", str(out), *arguments, "seed=3"]) == 2
        assert "seed was 0 and is now 3" in capsys.readouterr().err
        assert main(["run", "--out", str(out), *arguments, "tasks=[t9]"]) == 2
        assert main(["run", "--out", str(tmp_path / "mute"), *arguments, "model.name=scripted:mute"]) == 1
        assert "4 episodes ended in errors" in capsys.readouterr().out
    finally:
        SCRIPTED.remove("gold")
        SCRIPTED.remove("mute")


def test_a_setting_that_came_later_changes_no_hash_while_it_is_unset() -> None:
    plain = ExperimentSettings()
    before = {k: v for k, v in dump_settings(plain).items() if k not in FREE | {"user_model", "options"}}
    before["model"] = {k: v for k, v in before["model"].items() if k not in ROUTE}
    before["helpers"] = {k: v for k, v in before["helpers"].items() if k != "concurrency"}
    assert config_hash(plain) == content_hash(before)
    for later in ({"user_model": ModelSettings()}, {"options": {"phrases": "first"}}):
        assert config_hash(plain.model_copy(update=later)) != config_hash(plain)


async def test_a_run_goes_on_when_its_server_moved_but_not_with_another_model(tmp_path: Path) -> None:
    def at(**route: Any) -> ExperimentSettings:
        return settings(model=ModelSettings(name="gold", **route))

    await run_planned(at(base_url="http://127.0.0.1:8000/v1"), plan()[:1], tmp_path, model=gold_model())
    moved = at(base_url="http://127.0.0.1:9000/v1", cache="cache", timeout=9.0, slots=4)
    summary = await run_planned(moved, plan(), tmp_path, model=gold_model())
    assert (summary.overall.episodes, len(episodes(tmp_path))) == (3, 3)
    with pytest.raises(BadInput, match="model.temperature was 0.0 and is now 1.0"):
        await run_planned(at(temperature=1.0), plan(), tmp_path, model=gold_model())


async def test_a_limit_that_is_no_setting_of_a_helpers_model_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = settings(helpers={"pool": ["TSA"], "form": "llm"}, helper_model={"name": "x", "max_tokens": 900})
    await run_planned(wanted, plan(1), tmp_path, model=gold_model(), helper_model=gold_model())
    line = "helper_model.max_tokens: the most tokens of an answer are its question's own; it has no effect"
    assert [message for message in caplog.messages if "helper_model" in message] == [line]


@pytest.mark.parametrize(
    ("changed", "arms", "told"),
    [
        ({"helpers": {"pool": ["TSA"]}}, ["none", "all"], True),
        ({"helpers": {"pool": ["TSA"]}}, ["all", "prompted"], False),
        ({"helpers": {"pool": ["TSA"], "forms": {"TSA": "llm"}}}, ["none", "all"], False),
        ({"helpers": {"pool": ["TSA"]}}, ["none"], False),  # told of the settings, before anything is loaded
        ({"helpers": {"pool": ["TSA"]}, "helper_model": None}, ["all"], False),
    ],
)
async def test_a_helper_model_that_nobody_asks_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changed: dict[str, Any], arms: list[str], told: bool
) -> None:
    wanted = settings(**{"helper_model": {"name": "x"}, **changed})
    asked = plan(1, 1, *(SelectorSettings(name=name) for name in arms))
    await run_planned(wanted, asked, tmp_path, model=gold_model(), helper_model=gold_model())
    line = "helper_model: every note is a template, and no arm asks a model; it has no effect"
    assert [message for message in caplog.messages if "helper_model" in message] == [line] * told
