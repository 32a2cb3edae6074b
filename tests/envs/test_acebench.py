"""The ACEBench adapter: against a toy checkout of its shape; a real one, with its own evaluator, where there is one."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.envs import checkouts
from fama.envs.acebench import task_files
from fama.envs.acebench.benchmark import AGENT, NORMAL, SPECIAL
from fama.envs.acebench.world import MAX_MESSAGES, AgentWorld, SingleWorld
from fama.envs.base import BENCHMARKS, Action, UserModel
from fama.episodes.store import read_episodes
from fama.errors import BadInput, EnvironmentFault
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.text.bracket_calls import BracketCall, read_calls, write_calls
from tests.support.scripted_player import Player

UTILS = """
import copy, re
class BaseApi:
    def __init__(self): self.wifi, self.logged_in = False, True
    def _load_scenario(self, scenario, long_context=False): self.wifi = scenario.get('wifi', False)
    def turn_on_wifi(self):
        self.wifi = True
        return {'status': True}
    def lend(self, **named): return {'named': named}
def execute_agent_func_call(func_call_list, initial_config, involved_classes, model_name, test_entry_id, language):
    made = {}
    for name in involved_classes:
        key = f'{model_name}_{test_entry_id}_{name.lower()}_instance'
        if key not in globals():
            globals()[key] = BaseApi()
            globals()[key]._load_scenario(copy.deepcopy(initial_config.get(name, {})))
        made[name] = globals()[key]
    said = []
    for call in func_call_list:
        try:
            said.append(str(eval(f'{key}.{call}')).replace("'", '"').replace('True', 'true'))
        except Exception as error:
            return f'Error during execution: {error}', involved_classes
    return said, made
"""
CHECKER = """
def agent_checker(found, wanted): return {'valid': found == wanted}
def is_function_call_format_valid(calls): return isinstance(calls, list) and all(isinstance(c, dict) for c in calls)
def normal_checker(functions, calls, truth, question, category):
    return {'valid': {k: v for c in calls for k, v in c.items()} == truth}
"""
READER = """
import ast
def decode_ast(model, text):
    body = ast.parse(text, mode='eval').body
    return [{c.func.id: {k.arg: ast.literal_eval(k.value) for k in c.keywords}} for c in body.elts]
"""
TURN_ON = {"name": "turn_on_wifi", "description": "d", "parameters": {"type": "dict", "properties": {}}}
LEND = {"name": "lend", "arguments": {"type": "dict", "properties": {"n": {"type": "float"}, "l": {"type": "list"}}}}


def rows(category: str, *tasks: dict[str, Any]) -> str:
    return "".join(json.dumps({"id": f"{category}_{n}", **task}) + "\n" for n, task in enumerate(tasks))


AGENT_TASK = {
    "question": "Turn on the wifi.",
    "initial_config": {"BaseApi": {"wifi": False}},
    "involved_classes": ["BaseApi"],
    "function": [TURN_ON, LEND],
}
AGENT_TRUTH = {
    "ground_truth": [{"BaseApi": {"wifi": True, "logged_in": True}}],
    "mile_stone": [["[lend(n=1)]", "[turn_on_wifi()]"], ["[turn_on_wifi()]", "[lend(n=2)]", "[lend(n=3)]"]],
}
NORMAL_TASK = {"question": "user: lend 2\n", "time": "now", "function": LEND}
FILES = {
    "model_inference/multi_turn/multi_turn_utils.py": UTILS,
    "model_inference/multi_step/multi_step_utils.py": UTILS,
    "model_inference/multi_turn/APIModel_agent.py": "MULTI_TURN_AGENT_PROMPT_SYSTEM_EN = 'Call APIs. '",
    "model_inference/multi_step/APIModel_agent.py": "MULTI_TURN_AGENT_PROMPT_SYSTEM_EN = 'Step by step.'",
    "model_inference/multi_turn/APIModel_user.py": "SYSTEM_PROMPT_BASE_EN = 'You are a user: {instruction}'",
    "model_inference/prompt_en.py": "BASE_PROMPT_EN = 'Phone rules.'\nUSER_PROMPT_EN = 'So far: {question}'\n"
    "SYSTEM_PROMPT_FOR_NORMAL_DATA_EN = 'Answer. {time} {function}'\n"
    "SYSTEM_PROMPT_FOR_SPECIAL_DATA_EN = 'Say what is wrong. {time} {function}'\n",
    "model_inference/utils.py": READER,
    "model_eval/checker.py": CHECKER,
    "data_all/data_en/data_agent_multi_turn.json": rows("agent_multi_turn", AGENT_TASK),
    "data_all/data_en/possible_answer/data_agent_multi_turn.json": rows("agent_multi_turn", AGENT_TRUTH),
    "data_all/data_en/data_agent_multi_step.json": rows("agent_multi_step", AGENT_TASK),
    "data_all/data_en/possible_answer/data_agent_multi_step.json": rows("agent_multi_step", AGENT_TRUTH),
    "data_all/data_en/data_normal_atom_bool.json": rows("normal_atom_bool", NORMAL_TASK),
    "data_all/data_en/possible_answer/data_normal_atom_bool.json": rows(
        "normal_atom_bool", {"ground_truth": [{"lend": {"n": 9}}, {"lend": {"n": 2}}]}
    ),
    "data_all/data_en/data_special_incomplete.json": rows("special_incomplete", NORMAL_TASK),
    "data_all/data_en/possible_answer/data_special_incomplete.json": rows(
        "special_incomplete", {"ground_truth": {"lend": ["n", "to"]}}
    ),
}


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("model_inference", "model_eval")]:
        del sys.modules[name]
    task_files.tasks.cache_clear()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy checkout, named by ``fama benchmarks add``."""
    folder = tmp_path / "clone"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.delenv("FAMA_ACEBENCH", raising=False)
    monkeypatch.setenv("FAMA_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget()
    assert main(["benchmarks", "add", "acebench", str(folder)]) == 0
    yield folder
    forget()


def environment(domain: str, player: Player | None = None) -> Any:
    user = UserModel(player) if player else None
    return BENCHMARKS.load("acebench")().environment(domain, f"{domain}_0", user)


async def test_a_dialogue_goes_to_tools_and_to_the_user(toy: Path) -> None:
    player = Player("Wifi, please.", "Thanks.", "finish conversation")
    world = environment("agent_multi_turn", player)
    assert world.policy == "Call APIs. Phone rules."
    assert [json.loads(tool.parameters)["type"] for tool in world.tools] == ["object", "object"]
    assert json.loads(world.tools[1].parameters)["properties"] == {"n": {"type": "number"}, "l": {"type": "array"}}
    assert (await world.reset(0)).content == "Wifi, please."
    assert player.requests[0].messages[0]["content"] == "You are a user: Turn on the wifi."
    assert world.outcome().detail == {"end_to_end": 0.0, "process": 0.0}
    lent = await world.step(Action(tool="lend", arguments={"n": 1}))
    assert (lent.role, json.loads(lent.content)) == ("tool", [{"named": {"n": 1}}])
    assert world.outcome().detail["process"] == 0.5  # the better of two paths
    on = await world.step(Action(tool=None, text="[turn_on_wifi()]"))  # the benchmark's own notation is a call, too
    assert (on.role, json.loads(on.content), on.done) == ("user", [{"status": True}], False)
    assert (await world.step(Action(tool=None, text="It is on."))).content == "Thanks."
    last = await world.step(Action(tool=None, text="Anything else?"))
    assert last.done and last.reason == "user_stop" and last.ledger[0].input_tokens == 4
    verdict = world.outcome()
    assert verdict.success and verdict.detail == {"end_to_end": 1.0, "process": 1.0}
    assert [action.name for action in verdict.gold_actions] == ["lend", "turn_on_wifi"]
    assert world.process == ("[lend(n=1)]", "[turn_on_wifi()]")
    with pytest.raises(EnvironmentFault):
        await world.step(Action(tool=None, text="Hello?"))
    player.replies = ["Again."]
    await world.reset(0)
    assert not world.outcome().success and world.process == ()


async def test_steps_without_a_user_end_with_the_closing_words_or_with_their_number(toy: Path) -> None:
    world = environment("agent_multi_step")
    assert (await world.reset(0)).content == "Turn on the wifi."
    asked = await world.step(Action(tool=None, text="Which? finish conversation"))  # too early to count, as there
    assert not asked.done and "do not ask" in asked.content
    assert (await world.step(Action(tool="turn_on_wifi"))).done is False
    last = await world.step(Action(tool=None, text="finish conversation"))
    assert (last.done, last.content, last.reason) == (True, None, "agent_stop") and world.outcome().success
    world = environment("agent_multi_step")
    await world.reset(0)
    for turn in range(MAX_MESSAGES // 2):
        said = await world.step(Action(tool=None, text="hm"))
        assert said.done == (turn == MAX_MESSAGES // 2 - 1)
    assert said.reason == "max_messages"


@pytest.mark.parametrize(
    "action",
    [
        Action(tool="__import__('os').system('x')#"),
        Action(tool="lend", arguments={"n=1, **__import__('os').environ": 1}),
        Action(tool="lend", arguments={"n": "'); __import__('os').abort() #"}),
        Action(tool=None, text="[lend(n=__import__('os').abort())]"),
        Action(tool=None, text="[().__class__.__bases__[0].__subclasses__()]"),
        Action(tool=None, text="[lend(n=2**9**9**9)]"),
        Action(tool="no_such_tool", arguments={}),
    ],
)
async def test_what_a_model_writes_is_never_run(toy: Path, action: Action) -> None:
    for domain in ("agent_multi_step", "normal_atom_bool"):
        world = environment(domain)
        await world.reset(0)
        await world.step(action)
        assert not world.outcome().success


async def test_single_answers(toy: Path) -> None:
    world = environment("normal_atom_bool")
    assert world.policy == "Answer. now -" and (await world.reset(0)).content == "So far: user: lend 2\n"
    assert not (await world.step(Action(tool="lend", arguments={"n": 2}))).done
    assert world.outcome().success and world.answer == "[lend(n=2)]"
    assert (await world.step(Action(tool=None, text="done"))).done and world.outcome().success
    assert (await world.reset(0)).content and not world.outcome().success
    assert (await world.step(Action(tool=None, text="[lend(n=2), lend(n=2)]"))).done
    missing = environment("special_incomplete")
    await missing.reset(0)
    await missing.step(Action(tool=None, text="Missing necessary parameters (n, to) for the api (lend)"))
    assert missing.outcome().success and missing.outcome().gold_actions == ()


def test_domains_and_bad_input(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = BENCHMARKS.load("acebench")()
    assert benchmark.version(benchmark.domains()[0]).startswith("acebench-") and len(benchmark.domains()) == 34
    assert benchmark.task_ids("agent_multi_step", "test") == ("agent_multi_step_0",)
    with pytest.raises(BadInput, match="set user_model"):
        environment("agent_multi_turn")
    with pytest.raises(BadInput, match="has no task"):
        benchmark.environment("agent_multi_step", "agent_multi_step_9")
    with pytest.raises(BadInput, match="no domain 'agent'"):
        benchmark.task_ids("agent", "test")
    with pytest.raises(BadInput, match="cannot be read"):
        benchmark.task_ids("agent_multi_step-zh", "test")
    (toy / "data_all/data_en/possible_answer/data_agent_multi_step.json").write_text("", encoding="utf-8")
    task_files.tasks.cache_clear()
    with pytest.raises(BadInput, match="list different ids"):
        benchmark.task_ids("agent_multi_step", "test")


def test_a_run_is_exported_for_the_benchmarks_own_evaluator(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    SCRIPTED.add("switch", ScriptedModel("scripted:switch", lambda _: '{"tool": "turn_on_wifi", "arguments": {}}'))
    setup = ["model.name=scripted:switch", "benchmark=acebench", "split=test", "tasks=1", "limits.steps=3"]
    assert main(["run", "domain=agent_multi_step", *setup, "demonstrations=0", "--out", out]) == 0
    assert main(["export", out, "--to", "acebench", "--out", str(tmp_path / "ace")]) == 0
    (file,) = (tmp_path / "ace").rglob("data_agent_multi_step_result.json")
    assert file.parent.parent.name == "result_en" and file.parent.name.startswith("scripted-switch_act_none_0")
    row = json.loads(file.read_text())
    (episode,) = read_episodes(Path(out))
    assert (episode.outcome.status, episode.outcome.reason) == ("success", "loop")
    assert (row["id"], row["process"]) == ("agent_multi_step_0", ["[turn_on_wifi()]"] * 2)
    assert row["result"] == [{"BaseApi": {"wifi": True, "logged_in": True}}]
    assert main(["run", *setup[:1], "tasks=1", "limits.steps=2", "--out", str(tmp_path / "shop")]) == 0
    assert main(["export", str(tmp_path / "shop"), "--to", "acebench", "--out", str(tmp_path / "ace2")]) == 2
    SCRIPTED.remove("switch")
    assert "is of helpdesk; give folders of acebench" in capsys.readouterr().err


def test_an_answer_in_words_is_exported(toy: Path, tmp_path: Path) -> None:
    """Nobody speaks after it: the replay must not take the log for one that was cut before the user answered."""
    answer = "Missing necessary parameters (n, to) for the api (lend)"
    out = str(tmp_path / "run")
    SCRIPTED.add(
        "says", ScriptedModel("scripted:says", lambda _: json.dumps({"tool": "respond", "arguments": {"text": answer}}))
    )
    setup = ["model.name=scripted:says", "benchmark=acebench", "split=test", "tasks=1", "demonstrations=0"]
    assert main(["run", "domain=special_incomplete", *setup, "--out", out]) == 0
    SCRIPTED.remove("says")
    assert main(["export", out, "--to", "acebench", "--out", str(tmp_path / "ace")]) == 0
    (file,) = (tmp_path / "ace").rglob("data_special_incomplete_result.json")
    assert json.loads(file.read_text())["result"] == answer


def test_calls_are_read_and_written() -> None:
    calls: tuple[BracketCall, ...] = (("a.b", {"x": [1, {"y": None}], "z": "it's"}), ("c", {}))
    assert read_calls(write_calls(calls)) == calls
    assert read_calls("f(x=1)") == (("f", {"x": 1}),) and read_calls("hello") == () and read_calls("[f(1)]") == ()
    assert read_calls("f(**{'x': 1})") == ()
    assert read_calls("[f(x=word, y=1+1)]") == (("f", {"x": "word", "y": "1 + 1"}),)
    with pytest.raises(ValueError, match="not a name"):
        write_calls([("f(", {})])


def spoilt(values: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Arguments of which one is left out or wrong, half of the time."""
    values = dict(values)
    if values and chance.random() < 0.5:
        key = chance.choice(list(values))
        values.pop(key)
        if chance.random() < 0.5:
            values[key] = chance.choice(["wrong", 7, True, [1], {"a": 1}])
    return values


async def attempts(domain: str, chance: random.Random) -> list[tuple[dict[str, Any], bool, float]]:
    """A row of ACEBench's result file for each task, half of them wrong, with our verdict and process score."""
    benchmark = BENCHMARKS.load("acebench")()
    made = []
    for task_id in benchmark.task_ids(domain, "test"):
        world = benchmark.environment(domain, task_id, UserModel(Player("Yes.")))
        await world.reset(0)
        gold = world.outcome().gold_actions or ()
        if isinstance(world, AgentWorld):
            for action in gold:
                if chance.random() > 0.1:
                    await world.step(Action(tool=action.name, arguments=json.loads(action.arguments)))
            row = {"id": task_id, "result": world.state, "process": list(world.process)}
        else:
            assert isinstance(world, SingleWorld)
            for action in gold:
                name = re.sub(r"_\d+$", "", action.name)  # the answers number calls of one name
                await world.step(Action(tool=name, arguments=spoilt(json.loads(action.arguments), chance)))
            if not gold:
                await world.step(Action(tool=None, text=remark(world._task.answer["ground_truth"], domain, chance)))
            row = {"id": task_id, "result": world.answer}
        verdict = world.outcome()
        made.append((row, verdict.success, verdict.detail.get("process", 0.0)))
    return made


def remark(truth: Any, domain: str, chance: random.Random) -> str:
    """Return the answer of an agent to a special task, now and then wrong."""
    if chance.random() < 0.2:
        return "I have no idea."
    if not isinstance(truth, dict):
        return str(truth)
    values = ", ".join(v for listed in truth.values() for v in listed if chance.random() < 0.9)
    names = ", ".join(truth)
    if "incomplete" in domain:
        return f"Missing necessary parameters ({values}) for the api ({names})"
    return f"There is incorrect value ({values}) for the parameters ({names}) in the conversation history."


FEW = ("agent_multi_step", "normal_atom_object_deep", "special_error_param")
ALL = [name for category in (*AGENT, *NORMAL, *SPECIAL) for name in (category, f"{category}-zh")]


@pytest.mark.parametrize("domain", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in ALL])
async def test_verdicts_are_those_of_its_own_evaluator(domain: str, tmp_path: Path) -> None:
    """The very same outputs through ``eval_main.py``: which tasks failed, and the process accuracy."""
    try:
        clone = checkouts.find_checkout("acebench")
    except BadInput as error:
        pytest.skip(str(error))
    pytest.importorskip("pandas", reason="ACEBench's evaluator imports pandas")
    forget()
    made = await attempts(domain, random.Random(7))
    category, language = domain.removesuffix("-zh"), "zh" if domain.endswith("-zh") else "en"
    (tmp_path / "data_all").symlink_to(clone / "data_all")
    stand_in = "from unittest.mock import MagicMock\nWorkbook = Alignment = MagicMock()\n"  # it only formats a sheet
    for name in ("stubs/openpyxl/__init__.py", "stubs/openpyxl/styles.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(stand_in)
    results = tmp_path / f"result_all/result_{language}/m/data_{category}_result.json"
    results.parent.mkdir(parents=True)
    results.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row, _, _ in made), encoding="utf-8")
    (tmp_path / f"score_all/score_{language}/m").mkdir(parents=True)
    command = [sys.executable, str(clone / "eval_main.py"), "--language", language, "--model", "m"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "stubs")}
    subprocess.run([*command, "--category", category], cwd=tmp_path, env=env, capture_output=True, timeout=120)
    score = tmp_path / f"score_all/score_{language}/m/data_{category}_score.json"
    head, *listed = [json.loads(line) for line in score.read_text(encoding="utf-8").splitlines()]
    names = [n if category in AGENT else row["id"] for n, (row, _, _) in enumerate(made)]
    failed = {name for name, (_, right, _) in zip(names, made, strict=True) if not right}
    assert failed == {row["id"] for row in listed if row["valid"] is False}
    assert head["correct_count"] == sum(right for _, right, _ in made)
    assert 0 < head["correct_count"] < len(made)  # a check of both sides
    if category in AGENT:
        assert head["process_accuracy"] == round(sum(score for _, _, score in made) / len(made), 3)
    forget()
