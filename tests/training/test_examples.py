from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.jsonl import RecordStore
from fama.episodes.keys import TaskKey
from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.episodes.records import Decision, Episode, Failure, FunctionCall, LedgerRow, Message, Outcome, ToolCall
from fama.episodes.spending import CostUnit
from fama.episodes.state import decision_steps, state_after, state_to_json
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput
from fama.subsets import POOL
from tests.support.outcome_rows import row
from training.data.examples import ExampleSet, failure_examples, outcome_examples, prompted_examples
from training.data.load import _check_costs, coverage_of, load_examples, table_examples
from training.data.splits import errors_to_certify, keep_apart, split_by_task
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import DataSettings, TrainSettings

CODES = ("DCV", "WRCO", "CM", "IFU")


def episode(number: int = 0, **changes: Any) -> Episode:
    value: dict[str, Any] = {
        "id": f"e{number}",
        "benchmark": "b",
        "benchmark_version": "1",
        "domain": "d",
        "task_id": f"t{number}",
        "messages": (
            Message(role="system", content="policy"),
            Message(role="user", content=f"hello {number}"),
            Message(role="assistant", content="THE FUTURE"),
        ),
        "decisions": (Decision(turn=0, message_index=2, subset=("TSA",), dropped=("Memory",)),),
        "outcome": Outcome(status="failure"),
        "reward": 0.0,
    }
    return Episode.model_validate({**value, **changes})


def failure(number: int = 0, **changes: Any) -> Failure:
    value: dict[str, Any] = {
        "episode_id": f"e{number}",
        "task_id": f"t{number}",
        "categories": ("DCV", "CM"),
        "primary": ("DCV",),
        "labeller": "test",
        "taxonomy_version": "1",
    }
    return Failure.model_validate({**value, **changes})


def test_outcome_rows_become_examples() -> None:
    rows = outcome_rows(make_tasks(3), per_task=2)
    data = outcome_examples(rows, POOL)
    assert len(data.examples) == 6
    for one, example in zip(rows, data.examples, strict=True):
        members = tuple(name for name, flag in zip(POOL, example.subset or (), strict=True) if flag)
        assert "+".join(members) == one.subset
        assert (example.success, example.tokens, example.propensity) == (one.success, one.tokens, one.propensity)
        assert example.task == str(TaskKey("synthetic", "synthetic", one.task_id))
        assert example.coverage is example.categories is example.distilled is None
    assert data.synthetic
    assert data.benchmark_version == ("synthetic synthetic-1",)


@pytest.mark.parametrize(
    ("unit", "changes", "expected"),
    [
        ("tokens", {}, 900.0),
        ("new_tokens", {}, 140.0),
        ("new_tokens", {"tokens_cached": 900}, 1.0),  # its logarithm is learned
        ("new_tokens", {"tokens_cached": None}, None),
        ("new_tokens", {"tokens_cached": 890, "output_tokens": 20}, None),  # more than was read
        ("new_tokens", {"tokens": 0, "tokens_cached": 0}, None),
        ("seconds", {}, 2.5),
        ("seconds", {"seconds": None}, None),
    ],
)
def test_a_row_costs_what_is_priced(unit: CostUnit, changes: dict[str, Any], expected: float | None) -> None:
    one = outcome_rows(make_tasks(1), per_task=1)[0]
    one = one.model_copy(update={"tokens": 900, "tokens_cached": 760, "output_tokens": 0, "seconds": 2.5} | changes)
    assert outcome_examples([one], POOL, cost=unit).examples[0].tokens == expected


def test_repairs_of_unknown_cost_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Mined with several continuations they hold no cost in any unit, so that none could be asked for instead."""
    (example,) = outcome_examples([outcome_rows(make_tasks(1), per_task=1)[0]], POOL).examples
    unknown = ExampleSet((replace(example, tokens=None),), POOL)
    data = DataSettings.model_validate({"repairs": [{"repairs": "r", "episodes": "e"}]})
    _check_costs(unknown, data)
    assert "no row says its tokens, which would then cost nothing: repairs mined with continuations" in caplog.text
    with pytest.raises(BadInput, match="no row says its tokens"):
        _check_costs(unknown, DataSettings.model_validate({"outcomes": ["t.parquet"]}))


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        ((), None),
        (("TSA",), None),  # another row with TSA says it
        (("TSA", "TSA+Verifier"), "no row with TSA says its new tokens"),
        (("", "TSA", "Verifier", "TSA+Verifier"), "no row says its new tokens, which would then cost nothing"),
    ],
)
def test_a_cost_that_no_row_says_is_refused(tmp_path: Path, unknown: tuple[str, ...], told: str | None) -> None:
    """Its head would be 0: a λ would price nothing, or a helper of unknown cost would be free."""
    subsets = ("", "TSA", "Verifier", "TSA+Verifier")
    rows = [row("t", subset, True) for subset in subsets]
    known = [one.model_copy(update={"tokens_cached": None}) if one.subset in unknown else one for one in rows]
    state = make_tasks(1)[0].state
    table = tmp_path / "t.parquet"
    write_outcomes(table, [one.model_copy(update={"state": state_to_json(state)}) for one in known], {})
    data = {"outcomes": [str(table)], "pool": ["TSA", "Verifier"], "cost": "new_tokens"}
    settings = TrainSettings.model_validate({"data": data})
    if told is None:
        assert len(load_examples(settings).examples) == 4
    else:
        with pytest.raises(BadInput, match=told):
            load_examples(settings)
    free = settings.model_copy(update={"data": settings.data.model_copy(update={"cost": "tokens"})})
    assert len(load_examples(free).examples) == 4


def test_a_row_of_two_tables_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = state_to_json(make_tasks(1)[0].state)
    first = [row("t", subset, True).model_copy(update={"state": state}) for subset in ("TSA", "")]
    own = first[1].model_copy(update={"tokens": 4321, "tokens_agent": 4321})
    tables = [str(tmp_path / name) for name in ("first.parquet", "second.parquet")]
    write_outcomes(tables[0], first, {})
    write_outcomes(tables[1], [first[0], own], {})
    assert len(table_examples(tables, DataSettings(pool=("TSA", "Verifier"))).examples) == 3
    assert [one.getMessage() for one in caplog.records] == [
        f"{tables[1]}: 1 of 2 rows stand in a table before it; they count once"
    ]


def test_a_label_and_a_prompted_episode_of_two_logs_count_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same label twice is one; another annotator's of the same episode is a second one."""
    first, second = (failure(n, taxonomy_version=load_taxonomy().version) for n in range(2))
    other = first.model_copy(update={"labeller": "someone else"})
    for name, labels in {"a": [first, second], "b": [first, other]}.items():
        for label in labels:
            RecordStore(tmp_path / name / "failures.jsonl", Failure).append(label)
    for n in range(2):
        EpisodeStore(tmp_path / "run").append(episode(n))
    run = str(tmp_path / "run")
    logs = [{"failures": str(tmp_path / name), "episodes": run} for name in ("a", "a", "b")]
    data = {"failures": logs, "prompted": [run, run], "pool": ["TSA", "Verifier"]}
    labelled = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0}
    found = load_examples(TrainSettings.model_validate({"data": data, "losses": labelled}))
    assert len(found.examples) == 3
    asked = {"outcome": 0.0, "tokens": 0.0, "distillation": 1.0}
    assert (
        len(load_examples(TrainSettings.model_validate({"kind": "encoder", "data": data, "losses": asked})).examples)
        == 2
    )
    assert [one.getMessage().removeprefix(str(tmp_path)) for one in caplog.records] == [
        "/a: 2 of 2 labels stand in a log before it; they count once",
        "/b: 1 of 2 labels stand in a log before it; they count once",
        "/run: 2 of 2 episodes stand in a log before it; they count once",
    ]


def labelled(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Write a labelled failure; return the settings of data that name it."""
    label = failure(taxonomy_version=load_taxonomy().version, **changes)
    RecordStore(tmp_path / "labels" / "failures.jsonl", Failure).append(label)
    EpisodeStore(tmp_path / "run").append(episode())
    return {"failures": [{"failures": str(tmp_path / "labels"), "episodes": str(tmp_path / "run")}]}


@pytest.mark.parametrize("view", ["prospective", "retrospective"])
def test_labels_alone_need_no_table_whatever_the_loss_of_tokens(tmp_path: Path, view: str) -> None:
    """Its weight is above 0 unless it is set, so that a plain run was asked for in the retrospective view."""
    tree = {"losses": {"outcome": 0.0, "coverage": 1.0}, "data": {"view": view, **labelled(tmp_path)}}
    assert len(load_examples(TrainSettings.model_validate(tree)).examples) == 1


def test_data_without_an_example_say_why(tmp_path: Path) -> None:
    tree = {"losses": {"outcome": 0.0, "coverage": 1.0}, "data": labelled(tmp_path, blame="user")}
    told = r"no usable example .* left out: failures blamed on the user \(data.user_faults=true learns from them\) 1$"
    with pytest.raises(BadInput, match=told):
        load_examples(TrainSettings.model_validate(tree))


@pytest.mark.parametrize(("loss", "value"), [("decision", 1.0), ("inverse_propensity", True)])
def test_propensities_that_no_row_says_weigh_nothing(tmp_path: Path, loss: str, value: float) -> None:
    """Every row counted as drawn for certain."""
    rows = [one.model_copy(update={"propensity": None}) for one in outcome_rows(make_tasks(2))]
    tree = {"kind": "encoder", "losses": {loss: value}, "data": {"outcomes": [str(tmp_path / "t.parquet")]}}
    settings = TrainSettings.model_validate(tree)
    write_outcomes(tmp_path / "t.parquet", rows, {})
    with pytest.raises(BadInput, match=rf"^losses\.{loss}: no row of data\.outcomes says its propensity; set it to"):
        load_examples(settings)
    write_outcomes(tmp_path / "t.parquet", [*rows[1:], rows[0].model_copy(update={"propensity": 0.5})], {})
    assert len(load_examples(settings).examples) == len(rows)


def test_errors_are_left_out_and_counted() -> None:
    rows = outcome_rows(make_tasks(3), per_task=2)
    rows[1] = rows[1].model_copy(update={"status": "error", "success": None})
    data = outcome_examples(rows, POOL)
    assert len(data.examples) == 5
    assert dict(data.left_out) == {"outcome rows with an error": 1}
    assert not dict(outcome_examples(rows[2:], POOL).left_out)
    (error,) = data.errors
    assert (error.success, error.tokens, error.propensity) == (None, None, rows[1].propensity)
    assert data.digest() == replace(data, errors=()).digest()
    assert (data + data).errors == (error, error)
    assert data.only(data.examples[:1]).errors == (error,) and data.only(data.examples[-1:]).errors == ()


def test_errors_are_tested_with_their_tasks_and_never_trained_on() -> None:
    data = outcome_examples(outcome_rows(make_tasks(400), per_task=1), POOL)
    broken = [replace(example, success=None) for example in data.examples[:200]]
    examples = data.examples[100:]
    split = keep_apart(split_by_task(examples, 0.25, 0), 0.25, 0)
    found = {error.task for error in errors_to_certify(split, examples, broken, 0.1875, 0)}
    judged, certified = {example.task for example in examples}, {example.task for example in split.certify}
    assert found & judged == {error.task for error in broken} & certified
    assert 10 <= len(found - judged) <= 28  # of 100 tasks that have nothing but an error, as many as of the others
    twins = [replace(error, features=split.train[0].features) for error in broken[:100]]
    assert not errors_to_certify(split, examples, twins, 1.0, 0)


def test_another_pool_is_refused() -> None:
    rows = outcome_rows(make_tasks(1))
    with pytest.raises(BadInput, match=r"its pool is DCE\+TSA\+TOR\+Planner\+Verifier\+Memory, data.pool is DCE"):
        outcome_examples(rows, ("DCE",))


def test_failures_give_coverage_and_categories() -> None:
    covers = {"DCE": frozenset({"DCV"}), "TSA": frozenset({"WRCO"}), "Planner": frozenset({"IFU", "DCV"})}
    data = failure_examples([failure(0)], [episode(0)], covers, CODES)
    (example,) = data.examples
    assert example.coverage == (True, False, True)
    assert example.categories == (True, False, True, False)
    assert example.success is None
    assert [segment.text for segment in example.features.segments] == ["policy", "hello 0"]


def test_a_logged_failure_is_read_from_the_users_first_words_on() -> None:
    """A log that opens with the agent's greeting, as those of tau2 do: before it no state differs from another."""
    said = [("system", "policy"), ("assistant", "Hi! How can I help?"), ("user", "I moved."), ("assistant", "Where?")]
    messages = tuple(Message(role=role, content=content) for role, content in said)
    log = episode(messages=messages, decisions=())
    assert decision_steps(log) == (3,)
    assert state_after(log).turn == 1
    (example,) = failure_examples([failure()], [log], {"DCE": frozenset({"DCV"})}, CODES).examples
    assert [segment.text for segment in example.features.history()] == ["Hi! How can I help?", "I moved."]
    silent = log.model_copy(update={"messages": messages[:3]})
    assert decision_steps(silent) == ()
    call = ToolCall(id="1", function=FunctionCall(name="look", arguments="{}"))
    acting = messages[1].model_copy(update={"tool_calls": (call,)})
    assert decision_steps(log.model_copy(update={"messages": (messages[0], acting, *messages[2:])})) == (1, 3)
    assert decision_steps(log.model_copy(update={"messages": messages[:2]})) == (1,)


def test_faults_of_others_and_empty_labels_are_counted() -> None:
    labels = [failure(0, blame="user"), failure(1, primary=()), failure(2), failure(9)]
    data = failure_examples(labels, [episode(n) for n in range(4)], {"DCE": frozenset({"DCV"})}, CODES)
    assert len(data.examples) == 1
    assert data.left_out == Counter(
        {
            "failures blamed on the user (data.user_faults=true learns from them)": 1,
            "failures without a decision or a primary category": 1,
            "failures whose episode is missing": 1,
        }
    )


def test_user_faults_are_learnt_from_where_asked_for() -> None:
    labels = [failure(0, blame="user"), failure(1, blame="environment"), failure(2)]
    data = failure_examples(
        labels, [episode(n) for n in range(3)], {"DCE": frozenset({"DCV"})}, CODES, user_faults=True
    )
    assert len(data.examples) == 2
    assert data.left_out == Counter({"failures blamed on the environment": 1})


def test_prompted_choices_include_what_the_budget_dropped() -> None:
    data = prompted_examples([episode(0), episode(1, decisions=())], POOL)
    (example,) = data.examples
    assert example.distilled == (False, True, False, False, False, True)
    assert data.left_out == Counter({"prompted episodes without a decision": 1})


def test_a_prompted_choice_in_another_form_is_refused() -> None:
    """It counted as a choice of no helper."""
    other = episode(0, decisions=(Decision(turn=0, message_index=2, subset=("TSA:template",)),))
    with pytest.raises(BadInput, match=r"chose TSA:template, data.pool is DCE\+TSA; make their forms agree"):
        prompted_examples([other], ("DCE", "TSA"))
    (example,) = prompted_examples([episode(0)], ("DCE",)).examples
    assert example.distilled == (False,)


def test_a_reply_that_could_not_be_read_is_no_choice_to_learn_from() -> None:
    unread = LedgerRow(role="selector", model="m", parsed=False, turn=0)
    data = prompted_examples([episode(0, ledger=(unread,)), episode(1)], POOL)
    assert len(data.examples) == 1
    assert data.left_out == Counter({"prompted episodes whose first selection was not made or not read": 1})


def test_a_decision_at_which_nobody_was_asked_is_no_choice_of_no_helper() -> None:
    """With ``cadence: change`` the first decision rarely has a selection."""
    idle = Decision(turn=0, message_index=2, selection="by_cadence")
    data = prompted_examples([episode(0, decisions=(idle,)), episode(1)], POOL)
    assert [any(one.distilled or ()) for one in data.examples] == [True]
    assert data.left_out == Counter({"prompted episodes whose first selection was not made or not read": 1})


def test_no_example_holds_anything_from_after_the_decision() -> None:
    data = failure_examples([failure(0)], [episode(0)], {"DCE": frozenset({"DCV"})}, CODES)
    data += prompted_examples([episode(1)], ("DCE",))
    texts = [segment.text for example in data.examples for segment in example.features.segments]
    assert not any("FUTURE" in text for text in texts)


def test_the_digest_sees_every_change_but_order() -> None:
    rows = outcome_rows(make_tasks(3))
    digest = outcome_examples(rows, POOL).digest()
    assert outcome_examples(rows[::-1], POOL).digest() == digest
    flipped = [rows[0].model_copy(update={"success": not rows[0].success}), *rows[1:]]
    assert outcome_examples(flipped, POOL).digest() != digest


FORMED = ("TSA", "TSA:template", "Verifier")


def formed_row(subset: str) -> OutcomeRow:
    row = outcome_rows(make_tasks(1), per_task=1)[0]
    return row.model_copy(update={"subset": subset, "pool": "+".join(FORMED)})


def test_a_pool_may_hold_both_forms_and_a_row_may_not() -> None:
    data = outcome_examples([formed_row("TSA:template+Verifier"), formed_row("TSA"), formed_row("")], FORMED)
    assert [example.subset for example in data.examples] == [(False, True, True), (True, False, False), (False,) * 3]
    with pytest.raises(BadInput, match=r"subset TSA\+TSA:template: TSA and TSA:template are forms of one helper"):
        outcome_examples([formed_row("TSA+TSA:template")], FORMED)


def test_tables_tell_the_forms_of_their_helpers_and_those_of_other_forms_are_not_mixed(tmp_path: Path) -> None:
    pool = {"pool": list(POOL)}
    told = {"plain": None, "template": pool, "llm": {**pool, "forms": {"TSA": "llm"}}, "odd": {"pool": ["TSA"]}}
    for name, helpers in told.items():
        rows = [row.model_copy(update={"seed": len(name)}) for row in outcome_rows(make_tasks(2))]
        config = {} if helpers is None else {"config": {"helpers": helpers}}
        write_outcomes(tmp_path / f"{name}.parquet", rows, config)

    def forms(*names: str) -> Any:
        return table_examples([str(tmp_path / f"{name}.parquet") for name in names], DataSettings()).forms

    templates = dict.fromkeys(POOL, "template")
    assert forms("plain") is None and forms("odd") is None
    assert forms("template") == forms("plain", "template") == templates
    assert forms("llm") == {**templates, "TSA": "llm"}
    with pytest.raises(BadInput, match=r"data: its sources have helpers in other forms, DCE \(template\), TSA \(templ"):
        forms("template", "llm")


def test_a_prompted_choice_of_both_forms_is_refused() -> None:
    chosen = Decision(turn=0, message_index=2, subset=("TSA:template",), dropped=("Verifier",))
    kept = prompted_examples([episode(decisions=(chosen,))], FORMED)
    assert kept.examples[0].distilled == (False, True, True)
    both = chosen.model_copy(update={"dropped": ("TSA",)})
    with pytest.raises(BadInput, match="e0 of task t0: TSA and TSA:template are forms of one helper"):
        prompted_examples([episode(decisions=(both,))], FORMED)


def test_labels_flag_each_form_that_covers_them() -> None:
    covers = {name: one.covers for name, one in coverage_of(DataSettings(pool=FORMED)).items()}
    assert tuple(covers) == FORMED and covers["TSA"] == covers["TSA:template"] != covers["Verifier"]
    label = failure(primary=tuple(covers["TSA"] - covers["Verifier"])[:1])
    data = failure_examples([label], [episode()], covers, CODES)
    assert data.examples[0].coverage == (True, True, False)
