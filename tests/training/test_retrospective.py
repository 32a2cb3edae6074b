"""Routers that read the plain agent's failed episode: what they learn from, what they choose, what is refused.

All tasks are SYNTHETIC: the state before the first decision says nothing, the failed episode tells the needs.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fama.cli import main
from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import write_outcomes
from fama.episodes.records import Decision, Episode, Message, Outcome
from fama.episodes.state import VisibleState, state_to_json
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.router.retrospective import failed_features, failed_task
from fama.selection.selectors.learned import build
from fama.settings import HelperSettings
from fama.subsets import POOL
from tests.support.asking import choose_now
from training.data.cost import data_cost
from training.data.load import load_examples
from training.data.synthetic import EFFECTS, SyntheticTask, best_fixed_regret, make_tasks, outcome_rows, regrets
from training.settings import TrainSettings
from training.train import train_on

CONTEXT = SelectorContext(helpers=build_pool(HelperSettings()))
TASKS = make_tasks(400, effects=EFFECTS["strong"])
OTHERS = make_tasks(150, seed=5, effects=EFFECTS["strong"])
LAM = 0.005


def key_of(task: SyntheticTask) -> EpisodeKey:
    return EpisodeKey("synthetic", "synthetic", task.task_id, 0, "synthetic", "act")


def plain(task: SyntheticTask, status: str = "failure", trial: int = 0, subset: Sequence[str] = ()) -> Episode:
    """An episode whose words are those of the task; with a subset it is no plain one."""
    key = key_of(task)
    last = Message(role="assistant", content="I give up.")
    return Episode.model_validate(
        {
            "id": f"{key.task_id}-{trial}-{status}-{'+'.join(subset)}",
            **{name: getattr(key, name) for name in ("benchmark", "domain", "task_id", "backbone", "strategy")},
            "trial": trial,
            "selector": "none",
            "messages": (Message(role="system", content=task.state.policy), *task.state.messages, last),
            "tools": task.state.tools,
            "decisions": (Decision(turn=0, message_index=len(task.state.messages) + 1, subset=tuple(subset)),),
            "outcome": Outcome(status=status, reason="closed"),
            "reward": float(status == "success"),
        }
    )


def bland(task: SyntheticTask) -> VisibleState:
    """Return a first state that shows nothing of the needs."""
    return replace(task.state, messages=(Message(role="user", content="Hello, I need help."),))


def write(folder: Path, tasks: Sequence[SyntheticTask], solved: Sequence[SyntheticTask] = ()) -> dict[str, Any]:
    """An outcome table of bland states and the plain episodes; ``data`` of a retrospective training."""
    state = state_to_json(bland(tasks[0]))
    rows = [row.model_copy(update={"state": state}) for row in outcome_rows([*tasks, *solved])]
    write_outcomes(folder / "outcomes.parquet", rows, {"command": "a test"})
    episodes = [plain(task) for task in tasks] + [plain(task, "success") for task in solved]
    (folder / "plain.jsonl").write_text("".join(e.model_dump_json() + "\n" for e in episodes), encoding="utf-8")
    return {
        "view": "retrospective",
        "outcomes": [str(folder / "outcomes.parquet")],
        "plain": [str(folder / "plain.jsonl")],
    }


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrospective")
    settings = TrainSettings.model_validate({"kind": "linear", "data": write(folder, TASKS), "decision": {"lam": LAM}})
    assert train_on(settings, load_examples(settings), folder / "router") is not None
    return folder / "router"


def log(folder: Path, *episodes: Episode) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(episode.model_dump_json() + "\n" for episode in episodes), encoding="utf-8")
    return path


def test_it_chooses_by_what_only_the_failed_episode_tells(router: Path, tmp_path: Path) -> None:
    """Its regret on other tasks is under half of the truly best fixed subset's, which no state could beat here."""
    path = log(tmp_path, *map(plain, OTHERS))
    selector = build(CONTEXT, checkpoint=router, episodes=path)
    assert (selector.name, selector.track) == ("linear", "retrospective")
    chosen = [choose_now(selector, bland(t), None, key_of(t)).subset for t in OTHERS]
    flags = [[name in subset for name in POOL] for subset in chosen]
    assert float(np.mean(regrets(OTHERS, flags, LAM))) < 0.5 * best_fixed_regret(OTHERS, LAM)
    assert len(set(chosen)) > 5


def test_a_task_that_did_not_fail_gets_no_helper(router: Path, tmp_path: Path) -> None:
    one, two, three, four = OTHERS[:4]
    elsewhere = plain(four).model_copy(update={"backbone": "another"})
    path = log(tmp_path, plain(one), plain(two, "success"), plain(three, subset=["DCE"]), elsewhere)
    selector = build(CONTEXT, checkpoint=router, episodes=path)
    found = [choose_now(selector, bland(t), None, key_of(t)) for t in (two, three, four)]
    assert [(s.subset, set(s.probabilities.values())) for s in found] == [((), {0.0})] * 3


def test_the_first_failed_trial_counts_in_any_order() -> None:
    task, other = TASKS[:2]
    late = plain(task, trial=2).model_copy(update={"messages": plain(other).messages})
    for order in ([late, plain(task, trial=1)], [plain(task, trial=1), late]):
        found = failed_features([plain(task, "success"), plain(task, "error"), *order])
        assert list(found) == [failed_task(key_of(task))]
        said = found[failed_task(key_of(task))].history()
        assert said == failed_features([plain(task)])[failed_task(key_of(task))].history()
        assert said[-1].text == "I give up."


@pytest.mark.parametrize(
    ("ran", "logged", "same"),
    [
        (("tau_bench", "retail"), ("tau-bench", "retail"), True),
        (("tau_trait", "retail"), ("tau-bench", "retail"), True),
        (("tau_trait", "retail-confusion"), ("tau_trait", "retail"), False),
        (("acebench", "multi-zh"), ("acebench-zh", "multi"), True),
        (("b", "d-x"), ("b", "d"), False),
    ],
)
def test_a_failed_log_is_of_the_task_that_is_run(ran: tuple[str, str], logged: tuple[str, str], same: bool) -> None:
    """A run found no failure in an imported log of its benchmark, whose name is written otherwise."""
    keys = [EpisodeKey(benchmark, domain, "7", 0, "m", "fc") for benchmark, domain in (ran, logged)]
    assert (failed_task(keys[0]) == failed_task(keys[1])) is same


def test_a_log_without_a_failure_is_refused(router: Path, tmp_path: Path) -> None:
    path = log(tmp_path, plain(OTHERS[0], "success"), plain(OTHERS[1], subset=["DCE"]))
    with pytest.raises(BadInput, match="log.jsonl: no failed episode without helpers, so that no task would get one"):
        build(CONTEXT, checkpoint=router, episodes=path)


def test_outcome_and_reward_are_not_seen() -> None:
    """Two episodes that differ in nothing but verdict and reference actions look the same."""
    task = TASKS[0]
    gold = [{"name": "close", "arguments": "{}"}]
    other = Episode.model_validate({**plain(task).model_dump(), "reward": 1.0, "gold_actions": gold})
    assert failed_features([plain(task)]) == failed_features([other])


def test_rows_without_a_failed_episode_teach_nothing_and_are_counted(tmp_path: Path) -> None:
    settings = TrainSettings.model_validate({"data": write(tmp_path, TASKS[:20], TASKS[20:25])})
    found = load_examples(settings)
    assert found.left_out == {"outcome rows of tasks without a failed plain episode": 5 * 4}
    assert len(found.examples) == 20 * 4 and {e.features.history()[-1].text for e in found.examples} == {"I give up."}


def test_no_failed_episode_at_all_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path, TASKS[:5])
    log(tmp_path, plain(TASKS[0], "success"), plain(TASKS[1], subset=["TSA"]))
    settings = TrainSettings.model_validate({"data": {**data, "plain": [str(tmp_path / "log.jsonl")]}})
    with pytest.raises(BadInput, match=r"data\.plain: no failed episode without helpers") as caught:
        load_examples(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "losses", "message"),
    [
        ({"view": "retrospective"}, {}, "name their files as data.plain"),
        ({"plain": ["x"]}, {}, "data.plain is for data.view retrospective"),
        ({"view": "retrospective", "plain": ["x"]}, {"distillation": 1.0}, "set distillation to 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data: dict[str, Any], losses: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings.model_validate({"kind": "encoder", "data": data, "losses": losses})


def test_a_router_of_one_view_refuses_the_other(router: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="trained on whole failed episodes") as caught:
        build(CONTEXT, checkpoint=router)
    assert "\n" not in str(caught.value)
    manifest = router / "router.json"
    tree = json.loads(manifest.read_text())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "router.json").write_text(json.dumps({**tree, "view": "prospective"}))
    (tmp_path / "other" / "heads.safetensors").write_bytes((router / "heads.safetensors").read_bytes())
    with pytest.raises(BadInput, match="reads the state before a decision, no failed episodes"):
        build(CONTEXT, checkpoint=tmp_path / "other", episodes=log(tmp_path, plain(TASKS[0])))


def test_the_card_says_what_it_reads(router: Path) -> None:
    card = (router / "README.md").read_text()
    assert "Retrospective: it reads the plain agent's whole failed episode" in card and "first decision" not in card


def test_the_plain_run_is_a_cost_of_its_own(tmp_path: Path) -> None:
    """Imported episodes have no ledger, so that their tokens are unknown; those with helpers are of the table."""
    spent = data_cost(TrainSettings.model_validate({"data": write(tmp_path, TASKS[:5])}))
    assert [(part.part, part.tokens) for part in spent][1:] == [("plain run", None)]


def test_select_chooses_once_an_episode(router: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path, plain(OTHERS[0]), plain(OTHERS[1], "success"))
    assert main(["select", "--router", str(router), "--episodes", str(path), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["turn"] for line in lines] == [0, 0] and lines[1]["subset"] == []
    assert max(lines[0]["probabilities"].values()) > 0.5
