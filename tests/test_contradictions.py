"""Settings and flags that contradict each other are refused in one line; those without effect are warned about."""

import json
import logging
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from eval.ablation.settings import AblateSettings
from eval.compare.questions import check_questions
from eval.mine_check.settings import MineCheckSettings
from fama.cli import main
from fama.config import dump_settings, load_settings
from fama.errors import BadInput
from fama.mining.settings import MineSettings
from fama.selection.base import SELECTORS
from fama.serving.settings import ServeSettings
from fama.settings import _PLAIN, CompareSettings, OutcomesSettings, RunSettings, Settings
from training.registry import GROUPS, ROUTER_TRAINERS
from training.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
SERVE = ("serve", "--router", "all", "--upstream", "http://127.0.0.1:1/v1")
TABLE = "data.outcomes=[x.parquet]"

#: words of a command, and what its one line says
REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("run", "--executor", "ray", "executor=local"), "--executor ray and 'executor=local' contradict each other"),
    ((*SERVE, "record={folder: b}", "--record", "a"), "--record a and 'record={folder: b}' contradict"),
    (("run", "--out", "a", "--out", "b"), "--out is given twice, as a and b"),
    (("score", "x", "--bootstrap", "200", "--bootstrap", "300"), "--bootstrap is given twice"),
    (("train", "--init", "a", "init=b"), "--init a and 'init=b' contradict each other"),
    (("run", "model.max_tokens=8192"), "max_tokens 8192 leaves a request no room in context_tokens 8192"),
    (("run", "model.slots=64"), "max_tokens 200 leaves a request no room in context_tokens 8192 over slots 64"),
    (("run", "helpers.pool=[]", "selector.name=all"), "helpers.pool is empty, and arm all chooses from it"),
    (("compare", "helpers.pool=[]", "arms=[{name: none}, {name: all, label: x}]"), "and arm x chooses from it"),
    (("outcomes", "cadence=change"), "cadence change gives an episode its subset at some decisions only"),
    (("mine", "x", "failures=0", "solved=0"), "failures and solved are both 0"),
    (("mine", "x", "tasks=[]"), "tasks: none are named"),
    (("mine-check", "x", "y", "failures=0"), "failures: "),
    (("train", TABLE, "correction={run: {}}"), "correction is of rounds above 1"),
    (("train", TABLE, "guarantee={thresholds: []}"), "guarantee.thresholds: "),
    (("ablate", "variants=[{name: a}]", "rows=[9, 9]"), "rows: none given, or one twice"),
    (("ablate", "variants=[{name: a}]", "rows=[]"), "rows: none given"),
    (("ablate", "variants=[{name: a}]", "synthetic={}", "rows=[0]"), "rows.0"),
    (("ablate", "variants=[{name: a}, {name: majority}]"), "variants: majority is a row of every table of labels"),
    (("ablate", "variants=[{name: a}]", "tests=[{name: t}, {name: t, domains: [x]}]"), "tests: none given, or one"),
    (("ablate", "variants=[{name: a}]", "synthetic={seed: 1}"), "seed and test_seed are the same"),
    (("ablate", "variants=[{name: a}]", "synthetic={}", "test_outcomes=[x]"), "test_outcomes: synthetic tasks take"),
    (
        ("ablate", "variants=[{name: a}]", "synthetic={}", "train_backbones=[x]"),
        "train_backbones: synthetic tasks take",
    ),
    (("ablate", "variants=[{name: a}]", "synthetic={}", "train.data.outcomes=[x]"), "train.data.outcomes: synthetic"),
    ((*SERVE, "record.hook=a:b"), "record.hook: gets what is recorded"),
    ((*SERVE, "record.closing_hook=a:b"), "record.closing_hook: gets what is recorded"),
    ((*SERVE, "record.total_bytes=200000"), "total_bytes 200000 holds no file of file_bytes"),
    ((*SERVE, "benchmark=tau2"), "benchmark: the file of tool roles is found by both; set domain too"),
    ((*SERVE, "domain=retail"), "domain: the file of tool roles is found by both; set benchmark too"),
    ((*SERVE, "--port", "1", "port=2"), "--port 1 and 'port=2' contradict each other"),
    ((*SERVE, "--record", "a", "record.folder=b"), "--record a and 'record.folder=b' contradict"),
    (("diagnose", "x", "--out", "o", "--judge-url", "http://h/v1"), "--judge-url http://h/v1: no judge is asked"),
    (("diagnose", "x", "--out", "o", "--context", "9000"), "--context 9000: no judge is asked"),
    (("diagnose", "x", "--out", "o", "--judge-tokens", "9"), "--judge-tokens 9: no judge is asked"),
    (("diagnose", "x", "--out", "o", "--judge-temperature", "1"), "--judge-temperature 1.0: no judge is asked"),
    (("diagnose", "x", "--out", "o", "--show", "-1"), "--show -1"),
    (("models", "list", "--port", "1"), "--port 1: is for fama models serve, not for list"),
    (("models", "list", "name"), "takes no NAME"),
    (("models", "pull", "name", "--backend", "vllm"), "--backend vllm: is for fama models serve"),
    (("models", "serve", "name", "--tool-parser", "x"), "--tool-parser x: is for --backend vllm"),
    (("models", "serve", "name", "--flags", "x"), "--flags x: is for --backend vllm"),
    (("models", "serve", "name", "--wait", "9"), "--wait 9.0: is for --backend vllm"),
    (("models", "serve", "name", "--record", "f"), "--record f: is for --backend vllm"),
    (("models", "serve", "name", "--backend", "vllm", "--slots", "2"), "--slots 2: is for --backend llama.cpp"),
    (("models", "serve", "name", "--slots", "0"), "--slots 0: give a number of at least 1"),
    (("models", "serve", "name", "--context", "0"), "--context 0: give a number of at least 1"),
    (("models", "serve", "name", "--threads", "-1"), "--threads -1: give a number of at least 0"),
    (("models", "serve", "name", "--backend", "vllm", "--threads", "2"), "--threads 2: is for --backend llama.cpp"),
    (("benchmarks", "list", "tau2"), "takes no NAME"),
    (("helpers", "list", "x"), "takes nothing more"),
    (("helpers", "list", "--out", "o"), "--out o: fama helpers list writes no file"),
    (("helpers", "candidates", "x", "--writer", "m"), "--writer m: is for fama helpers draft, not for candidates"),
    (("helpers", "draft", "1", "--smallest", "4"), "--smallest 4: is for fama helpers candidates, not for draft"),
    (("helpers", "draft", "1", "--out", "o", "--writer-url", "http://h/v1"), "no model writes without --writer"),
    (("report", "x", "--leaderboard", "o", "--wandb"), "--wandb: logs one comparison"),
    (("agree", "a", "b", "--on", "categories"), "--on categories: F1 is against a reference"),
    (("combine", "a", "./a", "--out", "o"), "is given twice; one annotator would agree with itself"),
    (("profile", "a", "--against", "./a"), "is given twice; a profile has not drifted from itself"),
    (("profile", "a", "a"), "is given twice"),
    (("demo", "tasks=3"), "tasks=3: the demo sets tasks itself"),
    (("demo", "arms=[]"), "arms=[]: the demo sets arms itself"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED, ids=lambda value: " ".join(value)[:60])
def test_a_contradiction_is_refused_in_one_line(
    words: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("fama: ") and line in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--print_config", "trials=2", "trials=2"),
        ("run", "--print_config", "--executor", "ray", "executor=ray"),
        (*SERVE, "--print_config", "--port", "8801", "port=8801"),
        ("run", "--print_config", "--out", "a", "--out", "a"),
        ("run", "--print_config", "model={name: y}", "model.name=x"),
        ("run", "--print_config", "--config", "a.yaml", "--config", "b.yaml"),
        ("run", "--print_config", "helpers.pool=[]"),
        ("outcomes", "--print_config", "cadence=turn"),
        ("run", "--print_config", "model.base_url=http://h/v1", "model.max_tokens=9000"),
        ("run", "--print_config", "model.name=scripted:echo", "model.max_tokens=9000"),
        (*SERVE, "--print_config", "--record", "d", "record.hook=a:b", "benchmark=tau2", "domain=retail"),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_only_looks_like_one_is_not(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text("trials: 2\n", encoding="utf-8")
    assert main(words) == 0


#: settings, and the line about the one without effect
UNUSED: list[tuple[type[Settings], tuple[str, ...], str]] = [
    (RunSettings, ("model.top_p=0.9",), "model.top_p: nothing is drawn at temperature 0"),
    (RunSettings, ("model.base_url=http://h/v1", "model.slots=2"), "model.slots: is of a model served in this process"),
    (RunSettings, ("model.base_url=http://h/v1", "model.threads=2"), "model.threads: is of a model"),
    (RunSettings, ("user_model={base_url: http://h/v1, context_tokens: 9}",), "user_model.context_tokens: is of a"),
    (
        RunSettings,
        ("budget.decision=9", "budget.episode=8", "selector.name=all"),
        "budget.decision: 9 is never reached",
    ),
    (RunSettings, ("budget.episode=9", "budget.run=8", "selector.name=all"), "budget.episode: 9 is never reached"),
    (RunSettings, ("budget.decision=9", "budget.run=8", "selector.name=all"), "budget.decision: 9 is never reached"),
    (RunSettings, ("budget.decision=9",), "budget.decision: limits helpers and selection, the arm none has neither"),
    (RunSettings, ("helper_model.name=x",), "helper_model: the arm none asks no helper"),
    (RunSettings, ("model.name=scripted:echo", "model.timeout=9"), "model.timeout: a scripted model gets no request"),
    (RunSettings, ("model.name=vllm:a/b", "model.slots=2"), "model.slots: is of a server; vLLM in this process"),
    (RunSettings, ("model.name=vllm:a/b", "model.timeout=9"), "model.timeout: is of a server; vLLM in this process"),
    (RunSettings, ("limits.repeats=9", "limits.steps=8"), "limits.repeats: 9 is never reached, limits.steps is 8"),
    (RunSettings, ("trials=2", "user_model={}"), "trials: 2 of an agent and a user at temperature 0"),
    (RunSettings, ("domain=shop+saas", "tasks=1"), "domain: of shop+saas only shop is run, tasks is 1"),
    (OutcomesSettings, ("subsets=[[TSA], []]", "per_task=3"), "per_task: 3 distinct subsets cannot be drawn from 2"),
    (CompareSettings, ("replay=x", "executor=ray"), "executor: a replay runs no episode"),
    (CompareSettings, ("replay=x", "concurrency=2"), "concurrency: a replay runs no episode"),
    (MineSettings, ("share=0.9",), "share: one continuation succeeds or does not"),
    (MineSettings, ("exact=500",), "exact: 500 calls are never reached, budget.calls is 400"),
    (MineSettings, ("exact=50", "search=tree"), "exact: search tree has no proof of so many calls"),
    (MineSettings, ("helper_model.max_tokens=9",), "helper_model.max_tokens: the most tokens of an answer are its"),
    (TrainSettings, ("knn.folds=3",), "knn: a router of kind linear does not read it"),
    (TrainSettings, ("optimiser.epochs=3",), "optimiser: a router of kind linear does not read it"),
    (TrainSettings, ("encoder.window=99",), "encoder: a router of kind linear does not read it"),
    (TrainSettings, ("kind=prior", "vectors.latest=2"), "vectors: a router of kind prior does not read it"),
    (TrainSettings, ("kind=encoder", "encoder.lora=null", "optimiser.lr_encoder=1"), "optimiser.lr_encoder: is of"),
    (TrainSettings, ("data.balance=2",), "data.balance: is of data.repairs, none are named"),
    (TrainSettings, ("data.labels=primary",), "data.labels: is of data.failures, none are named"),
    (TrainSettings, ("data.user_faults=true",), "data.user_faults: is of data.failures"),
    (TrainSettings, ("data.failures=[{failures: f, episodes: e}]",), "data.failures: the losses that learn from it"),
    (TrainSettings, ("data.prompted=[x]",), "data.prompted: the losses that learn from it (distillation) are 0"),
    (TrainSettings, ("losses.propensity_clip=3",), "losses.propensity_clip: bounds the weights of"),
    (
        TrainSettings,
        (TABLE, "losses={outcome: 0, coverage: 1}"),
        "data.outcomes: the losses that learn from it (outcome",
    ),
    (
        TrainSettings,
        ("data={view: retrospective, plain: [x]}", "losses={outcome: 0, coverage: 1}"),
        "data.plain: the losses that learn from it (outcome, decision) are 0",
    ),
    (
        TrainSettings,
        ("losses={outcome: 0, coverage: 1, inverse_propensity: true}",),
        "losses.inverse_propensity: weighs outcomes, losses.outcome and decision are 0",
    ),
    (
        TrainSettings,
        ("losses={outcome: 0, coverage: 1}", "decision.candidates=executed"),
        "decision.candidates: no subset was executed without data.outcomes or data.repairs",
    ),
    (AblateSettings, ("variants=[{name: a}]", "test=0.3", "test_outcomes=[x]"), "test: the test tasks are those of"),
    (AblateSettings, ("variants=[{name: a}]", "test=0.3", "synthetic={}"), "test: the test tasks are those of synth"),
    (AblateSettings, ("variants=[{name: a}]", "synthetic={}", "tests=[{name: t, domains: [x]}]"), "tests: synthetic"),
    (ServeSettings, ("router=all", "upstream=http://h/v1", "prefill=words"), "prefill: opens a reply, which placement"),
    (ServeSettings, ("router=all", "upstream=http://h/v1", "limits.in_flight=9999"), "limits.in_flight: 9999 is never"),
    (ServeSettings, ("router=all", "upstream=http://h/v1", "model.max_tokens=9"), "model.max_tokens: the most tokens"),
]


@pytest.mark.parametrize(("model", "given", "line"), UNUSED, ids=lambda value: str(value)[:60])
def test_a_setting_without_effect_is_told(model: type[Settings], given: tuple[str, ...], line: str) -> None:
    told = list(load_settings(model, None, given).unused())
    assert [one for one in told if one.startswith(line)], told
    assert len(told) == 1, "and nothing else"


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (RunSettings, ("model.temperature=0.7", "model.top_p=0.9")),
        (RunSettings, ("model.slots=2", "model.threads=2")),
        (RunSettings, ("budget={decision: 1, episode: 2, run: 3}", "selector.name=all")),
        (RunSettings, ("helper_model.name=x", "selector.name=all", "helpers.pool=[TSA, 'Memory:llm']")),
        (RunSettings, ("helper_model.name=x", "selector.name=all", "helpers.forms={TSA: llm}")),
        (RunSettings, ("helper_model.name=x", "selector.name=all", "helpers.pool=[mine.yaml]")),
        (RunSettings, ("helper_model.name=x", "selector.name=prompted")),
        (RunSettings, ("helper_model.name=x", "selector.name=my_plug_in")),
        (RunSettings, ("trials=2",)),
        (RunSettings, ("domain=shop+saas", "tasks=2")),
        (RunSettings, ("limits.steps=2",)),
        (MineSettings, ("share=0.9", "continuations=3")),
        (TrainSettings, ("vectors.source=embedding", "encoder.window=99")),
        (TrainSettings, ("kind=encoder", "optimiser.epochs=3", "network.hidden=8")),
        (TrainSettings, (TABLE, "losses.inverse_propensity=true", "losses.propensity_clip=3")),
        (OutcomesSettings, ("subsets=[[TSA], []]",)),
    ],
)
def test_a_setting_with_effect_is_not(model: type[Settings], given: tuple[str, ...]) -> None:
    assert list(load_settings(model, None, given).unused()) == []


def test_commands_warn_of_what_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert main(["run", "budget.run=5", "benchmark=nothing"]) == 2
    (record,) = caplog.records
    assert record.message == ("budget.run: limits helpers and selection, the arm none has neither; it has no effect")


FOLDERS: dict[str, type[Settings]] = {
    "run": RunSettings,
    "outcomes": OutcomesSettings,
    "compare": CompareSettings,
    "mine": MineSettings,
    "train": TrainSettings,
    "ablate": AblateSettings,
}
CONFIGS = sorted(path for folder in FOLDERS for path in (ROOT / "configs" / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shipped_configs_set_nothing_without_effect(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    base = [ROOT / name for name in re.findall(r"configs/[\w/.-]+\.yaml", first) if name != f"{path.relative_to(ROOT)}"]
    assert list(load_settings(FOLDERS[path.parent.name], [*base, path]).unused()) == []


def test_names_that_the_rules_know_exist() -> None:
    assert SELECTORS.traits(_PLAIN).plain
    assert set(TrainSettings.model_fields) >= set(GROUPS)
    for kind in ROUTER_TRAINERS.names():
        groups = ROUTER_TRAINERS.load(kind)().groups
        assert groups is not None and groups <= set(GROUPS), kind


def test_a_share_of_no_tokens_is_told(caplog: pytest.LogCaptureFixture) -> None:
    asked = {"arm": "all", "than": "none", "tokens": 0.5}
    arms = [{"name": "none"}, {"name": "all"}]
    check_questions(CompareSettings.model_validate({"arms": arms, "questions": [{**asked, "tokens": None}]}))
    check_questions(
        CompareSettings.model_validate({"arms": arms, "questions": [{**asked, "arm": "none", "than": "all"}]})
    )
    assert caplog.messages == []
    check_questions(CompareSettings.model_validate({"arms": arms, "questions": [asked]}))
    assert caplog.messages == ["questions: tokens: none spends nothing on helpers; it has no effect"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("trials=2", "trials=3"), ["command line: trials is given twice; the last counts"]),
        (("model.name=x", "model={name: y}"), ["command line: model takes back model.name; the last counts"]),
        (("trials=2", "--trials=2"), []),
        (("model={name: y}", "model.name=x"), []),
    ],
)
def test_an_override_that_takes_back_another_is_told(
    overrides: tuple[str, ...], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    load_settings(RunSettings, None, overrides)
    assert caplog.messages == told


#: Values that are valid each on its own, by key; the tests draw their combinations.
MODEL: dict[str, list[object]] = {
    "temperature": [0, 0.7],
    "top_p": [0.5, 1],
    "slots": [1, 64],
    "max_tokens": [1, 200, 9000],
    "context_tokens": [64, 8192],
    "base_url": [None, "http://h/v1"],
    "name": ["scripted:echo", "x", "vllm:x"],
}
EXPERIMENT: dict[str, list[object]] = {
    **{f"model.{key}": values for key, values in MODEL.items()},
    **{f"user_model.{key}": values for key, values in MODEL.items()},
    "helper_model": [None, {}, {"temperature": 1}],
    "budget.decision": [None, 0, 10],
    "budget.episode": [None, 0, 10],
    "budget.run": [None, 0, 10],
    "trials": [1, 3],
    "tasks": [1, 2, ["a"], []],
    "domain": ["shop", "shop+saas", "+"],
    "cadence": ["episode", "turn", "change"],
    "executor": ["local", "ray"],
    "limits.repeats": [2, 50],
    "limits.steps": [1, 30],
    "helpers.pool": [[], ["TSA"], ["TSA:llm", "TSA"], ["x.yaml"], [":"]],
    "helpers.form": ["template", "llm"],
    "helpers.forms": [{}, {"TSA": "separate"}],
}
ARMS = [{"name": "none"}, {"name": "all"}, {"name": "prompted"}, {"name": "learned", "cadence": "turn"}]
VALID: dict[type[BaseModel], dict[str, list[object]]] = {
    RunSettings: {**EXPERIMENT, "selector": list(ARMS)},
    OutcomesSettings: {**EXPERIMENT, "subsets": [None, [], [["TSA"]]], "per_task": [1, 4]},
    CompareSettings: {
        **EXPERIMENT,
        "arms": [[], ARMS, ARMS[:1]],
        "replay": [None, "x"],
        "lambdas": [[], [0.1, 0.1]],
        "track": ["prospective", "retrospective"],
        "questions": [[], [{"arm": "a", "than": "a"}]],
    },
    MineSettings: {
        "failures": [None, 0, 3],
        "solved": [0, 3],
        "tasks": [None, [], ["a"]],
        "continuations": [1, 3],
        "share": [0.5, 1],
        "exact": [0, 900],
        "budget.calls": [None, 0, 5],
        "base": ["none", "selector"],
        "helper_model": [None, {"top_p": 0.5}],
    },
    MineCheckSettings: {"failures": [None, 1], "model.slots": [None, 4], "model.base_url": [None, "http://h/v1"]},
    TrainSettings: {
        "kind": list(ROUTER_TRAINERS.names()),
        "init": [None, "x"],
        "data.outcomes": [[], ["x"]],
        "data.repairs": [[], [{"repairs": "r", "episodes": "e"}]],
        "data.failures": [[], [{"failures": "f", "episodes": "e"}]],
        "data.prompted": [[], ["x"]],
        "data.plain": [[], ["x"]],
        "data.view": ["prospective", "retrospective"],
        "data.cost": ["tokens", "seconds"],
        "data.labels": ["all", "primary"],
        "data.balance": [None, 0, 1],
        "losses.outcome": [0, 1],
        "losses.coverage": [0, 1],
        "losses.categories": [0, 1],
        "losses.distillation": [0, 1],
        "losses.decision": [0, 1],
        "losses.inverse_propensity": [False, True],
        "losses.propensity_clip": [10, 1],
        "encoder.lora": [None, {"rank": 4}],
        "optimiser.lr_encoder": [2e-4, 1],
        "vectors.source": ["hashed", "embedding"],
        "guarantee": [None, {}, {"thresholds": [1, 0]}],
        "rounds": [1, 2],
        "correction": [None, {"run": {}}, {"run": {"split": "train"}}],
        "options": [{}, {"least": 3}, {"steps": 0}],
    },
    AblateSettings: {
        "variants": [[{"name": "a"}], [{"name": "a", "set": {"kind": "knn"}}, {"name": "b"}], [{"name": "a"}] * 2],
        "only": [[], ["a"], ["z"]],
        "reference": [None, "a", "b"],
        "synthetic": [None, {}, {"seed": 1}],
        "test_outcomes": [[], ["x"]],
        "test": [0.4, 0.5],
        "rows": [[None], [9, 9], [None, 9], []],
        "tests": [[{"name": "t"}], [{"name": "t"}, {"name": "t"}], [{"name": "t", "domains": ["d"]}]],
        "train": [{}, {"kind": "prior"}, {"data": {"outcomes": ["x"]}}, {"data": None}, {"data": []}],
        "train_backbones": [[], ["b"]],
    },
    ServeSettings: {
        "router": ["all", "x"],
        "upstream": ["http://h/v1"],
        "host": ["127.0.0.1", "0.0.0.0"],  # noqa: S104 - never listened on
        "key_env": [None, "A"],
        "benchmark": ["", "tau2"],
        "domain": ["", "retail"],
        "placement": ["user", "assistant"],
        "prefill": ["message", "words"],
        "record.folder": [None, "d"],
        "record.hook": [None, "a:b"],
        "record.closing_hook": [None, "a:b"],
        "record.file_bytes": [65536, 2**30],
        "record.total_bytes": [131072, 2**40],
        "limits.in_flight": [1, 9999],
        "limits.connections": [1, 9999],
        "budget": [{}, {"decision": 5, "episode": 4}],
        "model": [None, {"top_p": 0.5}],
    },
}


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_combination_of_valid_values_is_a_config_or_one_line(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(list(VALID)))
    keys = data.draw(st.lists(st.sampled_from(sorted(VALID[model])), min_size=2, max_size=8, unique=True))
    needed: dict[str, object] = {"router": "all", "upstream": "http://h/v1"} if model is ServeSettings else {}
    needed |= {"variants": [{"name": "a"}]} if model is AblateSettings else {}
    chosen = {**needed, **{key: data.draw(st.sampled_from(VALID[model][key])) for key in keys}}
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True).strip()}" for key, value in chosen.items()]
    try:
        made = load_settings(model, None, overrides)
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return
    assert isinstance(made, Settings)
    assert all(": " in line and "\n" not in line for line in made.unused())
    assert model.model_validate(json.loads(json.dumps(dump_settings(made), allow_nan=False))) == made
