"""Phrase sets: complete, checked, drawn per episode, and named in the version of the tasks."""

import shutil
from pathlib import Path

import pytest
import yaml

from fama.cli import main
from fama.config import read_yaml
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import play
from fama.envs.helpdesk.tasks import build_task, generator_of
from fama.envs.helpdesk.user.phrase_sets import FIRST, FOLDER, ONLY_ON, draw_set, load_phrase_set, shipped_sets
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.settings import RunSettings

KEYS = read_yaml(FOLDER / "keys.yaml", "keys")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A set of one's own that says everything in capitals."""
    folder = tmp_path / "loud"
    shutil.copytree(FOLDER / FIRST, folder)
    path = folder / "common.yaml"
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**lists, "agree": ["YES. DO IT."], "greeting": ["OI!"]}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", shipped_sets())
def test_shipped_sets_are_complete(name: str) -> None:
    phrase_set = load_phrase_set(name)
    assert set(phrase_set.domains) == {"shop", "saas"}
    for domain, lists in phrase_set.domains.items():
        assert set(lists) == {*KEYS["common"], *KEYS[domain]}


@pytest.mark.parametrize("name", shipped_sets())
@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_gold_solves_tasks_in_every_set(name: str, domain: str) -> None:
    benchmark = Helpdesk(phrases=name)
    solved = 0
    split = ONLY_ON.get(name, ("dev",))[0]
    for task_id in benchmark.task_ids(domain, split)[:30]:
        environment = benchmark.environment(domain, task_id)
        solved += (await play(environment, build_task(domain, task_id).gold, 0)).reward.success
    assert solved == 30


def test_a_set_that_is_kept_for_testing_is_not_heard_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = Helpdesk(phrases=[FIRST, "third"])
    assert benchmark.task_ids("shop", "test") and benchmark.environment("shop", "shop-test-0000")
    with pytest.raises(BadInput, match=r"'third' is kept for the split test.*on dev take: first, second"):
        benchmark.task_ids("shop", "dev")
    with pytest.raises(BadInput, match="kept for the split test"):
        benchmark.environment("saas", "saas-train-0003")
    assert list(benchmark.splits("shop")) == ["test"] and list(Helpdesk().splits("shop")) == ["dev", "train", "test"]
    run = ["run", "model.name=scripted:echo", "tasks=1", "options={phrases: third}"]
    assert main(run) == 2 and "kept for the split test" in capsys.readouterr().err


@pytest.mark.parametrize("name", ONLY_ON)
def test_a_set_that_is_kept_for_testing_is_heard_in_both_domains_of_one_run(name: str, tmp_path: Path) -> None:
    run = ["run", "model.name=scripted:echo", "tasks=2", "limits.steps=2", "domain=shop+saas", "split=test"]
    assert main([*run, f"options={{phrases: {name}}}", "--out", str(tmp_path)]) == 0
    assert {e.domain for e in read_episodes(tmp_path)} == {"shop", "saas"}


def test_why_a_task_is_of_no_domain_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = ["run", "model.name=scripted:echo", "tasks=[shop-train-0001]", "domain=shop+saas", "split=test"]
    assert main([*run, "options={phrases: third}", "--out", str(tmp_path / "x")]) == 2
    assert "kept for the split test" in capsys.readouterr().err


def test_a_folder_of_ones_own_may_have_the_name_of_a_shipped_one(own: Path, tmp_path: Path) -> None:
    copy = own.rename(tmp_path / "third")
    assert list(Helpdesk(phrases=str(copy)).splits("shop")) == ["dev", "train", "test"]


def test_a_set_of_ones_own_speaks_and_shows_in_the_version(own: Path) -> None:
    benchmark = Helpdesk(phrases=str(own))
    assert Helpdesk(phrases=FIRST).version("shop") == "helpdesk-1.1"
    assert Helpdesk().version("shop") == "helpdesk-2.0"
    assert benchmark.version("shop").startswith("helpdesk-1.1/loud-")
    assert Helpdesk(phrases=[FIRST, str(own)]).version("shop") != benchmark.version("shop")


def test_an_episode_draws_one_set_whatever_the_arm(own: Path) -> None:
    sets = (load_phrase_set(FIRST), load_phrase_set(str(own)))
    drawn = [draw_set(sets, 7, f"shop-dev-{n:04d}").name for n in range(200)]
    assert drawn == [draw_set(sets, 7, f"shop-dev-{n:04d}").name for n in range(200)]
    assert 60 < drawn.count("loud") < 140
    assert {draw_set(sets[:1], seed, "shop-dev-0000").name for seed in range(9)} == {FIRST}


def test_a_run_speaks_from_the_sets_of_its_options(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["run", "model.name=scripted:echo", "strategy=fc", "placement=user", "tasks=3", "limits.steps=1"]
    assert main([*command, f"options={{phrases: {own}}}", "--out", str(out)]) == 0
    episodes = list(read_episodes(out))
    assert all((e.benchmark_version or "").startswith("helpdesk-1.1/loud-") for e in episodes)
    assert any("OI!" in (e.messages[1].content or "") for e in episodes)
    assert RunSettings().options is None


@pytest.mark.parametrize(
    ("file", "key", "value", "told"),
    [
        ("common.yaml", "agree", None, r"common.yaml: agree is missing \(says yes"),
        ("common.yaml", "agre", ["Yes."], "common.yaml: unknown key 'agre'"),
        (
            "shop.yaml",
            "cancel_item",
            ["cancel it"],
            r"cancel_item: 'cancel it' must fill \{item\}, each once",
        ),
        ("shop.yaml", "cancel_plain", ["cancel {item}"], "must fill no slot"),
        ("shop.yaml", "cancel_plain", [], "shop.yaml: cancel_plain must be a list of texts"),
        ("shop.yaml", "cancel_plain", [True], "must be a list of texts; quote a text"),
        ("saas.yaml", "user_plain", ["x", "x"], "saas.yaml: user_plain has one template twice"),
        ("saas.yaml", "user_plain", ["x {"], "has a brace that opens no slot"),
    ],
)
def test_a_bad_set_is_told_in_one_line(own: Path, file: str, key: str, value: object, told: str) -> None:
    path = own / file
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))
    lists.pop(key, None)
    path.write_text(yaml.safe_dump(lists if value is None else {**lists, key: value}), encoding="utf-8")
    with pytest.raises(BadInput, match=told) as raised:
        load_phrase_set(str(own))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{phrases: nowhere}", "no phrase set 'nowhere'; known: first"),
        ("{phrases: []}", "names no set, or one twice"),
        ("{phrases: [first, first]}", "names no set, or one twice"),
        ("{phrase: first}", "options: helpdesk does not take them"),
    ],
)
def test_bad_options_end_with_exit_code_2(
    options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "model.name=scripted:echo", f"options={options}", "--out", str(tmp_path / "x")]) == 2
    assert told in capsys.readouterr().err


def test_users_speak_from_the_sets_of_their_split() -> None:
    def spoken(task_id: str) -> set[str]:
        users = [Helpdesk()._scripted(generator_of("shop").domain, build_task("shop", task_id), s) for s in range(40)]
        names = {id(load_phrase_set(name).domains["shop"]): name for name in ("first", "second", "third")}
        return {names[id(user.phrases)] for user in users}

    assert spoken("shop-dev-0000") == spoken("shop-train-0000") == {"first", "second"}
    assert spoken("shop-test-0000") == {"third"}
