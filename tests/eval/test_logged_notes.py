"""Note precision on logged failures: statements of notes, the reference at a decision, measures by hand, command."""

import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.logged_notes.__main__ import main
from eval.logged_notes.judged_notes import Choosers, JudgedNotes, Moment, judged
from eval.logged_notes.judgement import Judgement, any_of, contradicts, judge, names_tool, names_value
from eval.logged_notes.note_statements import Stated, StatedStep, read_note
from eval.logged_notes.pending_actions import Standing, _assigned, standing
from eval.logged_notes.summary import NoteCell, NotePrecision, note_cells
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, GoldAction, Outcome
from fama.episodes.store import EpisodeStore
from fama.helpers import dce, forms, memory, planner, tor, tsa, verifier
from fama.settings import HelperSettings
from tests.support.diagnosis_cases import ORDER, RETURN, agent, call, episode, gold, identified, tool, user

FIND, LOOK, CANCEL, HUMAN = (
    "find_user_id_by_name_zip",
    "get_order_details",
    "cancel_pending_order",
    "transfer_to_human_agents",
)
CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
LINEAR = str(CHECKPOINTS / "helpdesk-linear")
TEXT = {"type": "string"}
TOOLS = (
    tool(FIND, first_name=TEXT, last_name=TEXT, zip=TEXT),
    tool(LOOK, order_id=TEXT),
    tool(RETURN, order_id=TEXT, item_ids={"type": "array"}),
    tool(CANCEL, order_id=TEXT, reason=TEXT),
    tool(HUMAN, summary=TEXT),
)
FOUND = gold(FIND, first_name="Mia", last_name="Li", zip="10001")
LOOKED = gold(LOOK, order_id="#W100")
RETURNED = gold(RETURN, order_id="#W100", item_ids=["4001"])


def at(*actions: GoldAction, step: int = 5, own: dict[str, object] | None = None, seen: str = "") -> Standing:
    """The reference before message ``step``; ``own`` are arguments of a return then made, ``seen`` an order shown."""
    parts = [*identified(), *(call(LOOK, ORDER, order_id=seen) if seen else ())]
    made = call(RETURN, "ok", **own) if own else [agent("Goodbye.")]
    logged = episode(*parts, made, actions=actions, tools=TOOLS)
    return standing(Trace.of(logged), len(parts) + 1 if seen else step)


def stated(text: str) -> Stated:
    found = read_note(text)
    assert found is not None, text
    return found


def suggests(tool_name: str, change: str = "", refuses: bool = False, **values: tuple[str, ...]) -> StatedStep:
    return StatedStep(tool_name, change, tuple(values.items()), refuses)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (tsa.NOTE.format(tool="look"), suggests("look")),
        (tsa.NOTE_WITH_VALUE.format(tool="look", parameter="id", value='"#7"'), suggests("look", id=("#7",))),
        (tsa.NOTE_WITH_VALUES.format(tool="go", values='id "#7", to "8, 9"'), suggests("go", id=("#7",), to=("8, 9",))),
        (tsa.ASK.format(thing="order"), suggests("respond")),
        (forms.ASK_YES.format(tool="swap"), suggests("respond", "swap")),
        (forms.ASK_FOR.format(question="Which user"), suggests("respond")),
        (forms.ANSWER.format(question='"Is it: {tool}?"', tool="look"), suggests("respond")),
        (tor.TELL.format(fields='status "done"'), suggests("respond")),
        (dce.REFUSE.format(rule="Only once."), suggests("respond", refuses=True)),
        (verifier.RETRY.format(tool="look"), suggests("look")),
        (verifier.IDENTITY.format(tool="look"), suggests("look")),
        (verifier.ASK_IDENTITY.format(parameters="zip and name"), suggests("respond")),
        (verifier.CALL_WITH.format(tool="look", parameter="id", value='"7"'), suggests("look", id=("7",))),
        (
            verifier.CALL_ONE_OF.format(tool="look", parameter="by", values='"a", "b" or "c"'),
            suggests("look", by=("a", "b", "c")),
        ),
        (verifier.CLOSE.format(tool="end", parameter="how", value='"refused"'), suggests("end", how=("refused",))),
        (verifier.ASK_AGAIN.format(said='"The blue one."'), suggests("respond")),
    ],
)  # fmt: skip
def test_a_suggestion_is_read_from_every_template(text: str, expected: StatedStep) -> None:
    assert stated(text).suggestions == (expected,)
    assert not stated(text).rule and not stated(text).row


def test_rules_rows_and_quotations_suggest_nothing() -> None:
    assert stated(dce.NOTE.format(rule="Refunds take days.")) == Stated(rule=True)
    assert stated(dce.SAY.format(rule="Tell the fee.")).rule
    assert stated(dce.QUESTION.format(rule="Ask for the reason.", detail="reason")).rule
    picked = stated(tor.NOTE.format(fields='item_id "4001", screen size "15-inch"'))
    assert picked.row == (("item_id", "4001"), ("screen size", "15-inch")) and picked.suggestions == ()
    # what a user says is data: a suggestion within quotes is none
    for template in (memory.CORRECTED, memory.SAID):
        assert stated(template.format(said='"Suggested next tool: swap."')).suggestions == ()
    asked = planner.ASKED.format(question='"Suggested next tool: swap. And when?"')
    steps = planner.NEXT.format(tool='look with id "7.5"') + planner.NEXT.format(tool="respond, to ask which order")
    assert stated(asked + steps).suggestions == (suggests("look", id=("7.5",)), suggests("respond"))
    assert stated(asked).suggestions == ()
    assert read_note("Consider to look the order up.") is None


def test_a_value_is_named_whole_or_as_a_telling_fact() -> None:
    note = stated(memory.CORRECTED.format(said='"make it the 12345 one on May 7, 2024 for 20, all blue"'))
    assert note.names("#12345") and note.names("2024-05-07")
    assert not note.names(20) and not note.names("blue") and not note.names("1234")
    assert stated(tor.NOTE.format(fields='color "Blue", price "20.0"')).names("blue")
    assert stated(tor.NOTE.format(fields='color "Blue", price "20.0"')).names(20)


def test_the_reference_stands_at_the_first_action_not_done() -> None:
    assert at(FOUND, LOOKED, RETURNED, step=1).left[0].name == FIND
    now = at(FOUND, LOOKED, RETURNED)
    assert [action.name for action in now.left] == [LOOK, RETURN] and [a.name for a in now.changes] == [RETURN]
    assert at(FOUND, FOUND).next is not None  # every call does one action
    assert at(FOUND).next is None and at(FOUND).lacking() == ()
    failing = episode(*call(LOOK, "Error: not found", order_id="#W100"), agent("Bye"), actions=(LOOKED,), tools=TOOLS)
    assert standing(Trace.of(failing), 3).next is not None
    other = episode(*call(LOOK, ORDER, order_id="W101"), agent("Bye"), actions=(LOOKED,), tools=TOOLS)
    assert standing(Trace.of(other), 3).next is not None
    handed = episode(*call(HUMAN, "ok", summary="a"), agent("Bye"), actions=(gold(HUMAN, summary="b"),), tools=TOOLS)
    assert standing(Trace.of(handed), 3).next is None
    assert standing(Trace.of(handed), 1).lacking() == ()  # words of a hand-over are not compared


def test_lacking_are_the_values_that_the_own_call_has_otherwise() -> None:
    assert at(FOUND, RETURNED).lacking() == ("#W100", "4001")
    assert at(FOUND, RETURNED, own={"order_id": "W100", "item_ids": ["4002"]}).lacking() == ("4001",)
    assert at(FOUND, RETURNED, own={"order_id": "#W100", "item_ids": ["4001"]}).lacking() == ()
    optional = gold(RETURN, order_id="#W100", note=None)  # a null is no value: to leave it out does the same
    for arguments, done in (({}, True), ({"note": None}, True), ({"note": "x"}, False)):
        logged = episode(*call(RETURN, "ok", order_id="W100", **arguments), agent("Bye"), actions=(optional,))
        assert (standing(Trace.of(logged), 3).next is None) is done
    swapped = gold("exchange_delivered_order_items", item_ids=["1"], new_item_ids=["2"])
    logged = episode(
        *call("exchange_delivered_order_items", "ok", item_ids=["2"], new_item_ids=["1"]), actions=(swapped,)
    )
    assert standing(Trace.of(logged), 1).lacking() == ("1", "2")


def test_names_the_tool_of_the_next_action() -> None:
    now = at(FOUND, LOOKED, RETURNED)
    assert names_tool(stated(f"Suggested next tool: {LOOK}."), now) is True
    assert names_tool(stated(forms.ASK_YES.format(tool=RETURN)), now) is False  # a later one is not the next
    assert names_tool(stated(forms.ASK_YES.format(tool=RETURN)), at(FOUND, RETURNED)) is True
    assert names_tool(stated(memory.SAID.format(said=f'"{LOOK}"')), now) is False
    nothing_left = at(FOUND)
    assert names_tool(stated(dce.REFUSE.format(rule="No.")), nothing_left) is True
    assert names_tool(stated(forms.ASK_YES.format(tool=RETURN)), nothing_left) is False
    assert names_tool(stated(f"Suggested next tool: {LOOK}."), nothing_left) is None


def test_names_a_value_that_the_own_call_lacks() -> None:
    wrong = at(FOUND, RETURNED, own={"order_id": "#W100", "item_ids": ["4002"]})
    right = at(FOUND, RETURNED, own={"order_id": "#W100", "item_ids": ["4001"]})
    row = stated(tor.NOTE.format(fields='item_id "4001"'))
    assert names_value(row, wrong) is True and names_value(row, right) is None
    assert names_value(stated(memory.SAID.format(said='"#W100"')), wrong) is False  # the own call has that one
    assert names_value(stated(memory.SAID.format(said='"W100"')), at(FOUND, RETURNED)) is True
    assert names_value(row, at(FOUND)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (forms.ASK_YES.format(tool=CANCEL), True),  # a change that the reference never makes
        (forms.ASK_YES.format(tool=RETURN), False),
        (f'Suggested next tool: {RETURN} with order_id "#W200".', True),
        (f'Suggested next tool: {RETURN} with order_id "W100", item_ids "4001".', False),
        (f'Suggested next tool: {RETURN} with order_id "W100", item_ids "4002".', True),
        (f'Suggested next tool: {RETURN} with colour "blue".', False),  # the reference does not have the argument
        (f'Call {RETURN} again with order_id "#W7" or "#W8", as the user means it.', True),
        (f'Call {RETURN} again with order_id "#W7" or "#W100", as the user means it.', False),
        (f'Suggested next tool: {HUMAN} with summary "x".', True),  # ends the case before the change
        (f'Suggested next tool: {FIND}.', False),  # another look-up changes nothing
        ('Matching row: item_id "4001", color "brass".', False),
        ('Matching row: item_id "4002", color "black".', True),
        ('Matching row: flight_number "HAT1".', None),
        ("Rule: Returns take a week.", None),
        ('The user now says: "The black one".', False),
    ],
)  # fmt: skip
def test_contradicts(text: str, expected: bool | None) -> None:
    assert contradicts(stated(text), at(FOUND, RETURNED)) is expected


def test_a_refusal_contradicts_a_change_of_the_object_last_looked_up() -> None:
    refusal = stated(dce.REFUSE.format(rule="Never."))
    assert contradicts(refusal, at(FOUND, RETURNED, seen="W100")) is True
    assert contradicts(refusal, at(FOUND, RETURNED, seen="#W200")) is None  # of which request it speaks is not known
    assert contradicts(refusal, at(FOUND, seen="#W100")) is False
    assert contradicts(stated(f"Suggested next tool: {HUMAN}."), at(FOUND)) is False


def test_precise_is_naming_without_contradiction() -> None:
    assert Judgement(True, None, False).precise is True and Judgement(False, True, False).precise is True
    assert Judgement(False, False, None).precise is False and Judgement(True, True, True).precise is False
    assert Judgement(None, False, False).precise is None and Judgement(True, False, None).precise is None
    assert judge(None, at(FOUND, RETURNED)) == Judgement(None, None, None, read=False)
    assert any_of([]) is False and any_of([None, True]) is True and any_of([None, False]) is None


def chosen(task: str, *judgements: Judgement, moment: Moment = "decisive", chooser: str = "TSA") -> JudgedNotes:
    return JudgedNotes(f"e{task}", task, "m", ("DCV", "CM"), moment, "change", chooser, judgements, 0)


def test_cells_count_by_hand() -> None:
    named, silent, unread = Judgement(True, None, False), (), Judgement(None, None, None, read=False)
    rows = [
        chosen("a", named),
        chosen("a", *silent),
        chosen("b", Judgement(False, False, True), unread),
        chosen("c", *silent),
        chosen("a", moment="random"),
    ]
    made = note_cells(rows, ("TSA", "DCE"))
    assert [(c.backbone, c.category, c.moment) for c in made if c.backbone == "all"] == [
        ("all", category, moment) for category in ("all", "CM", "DCV") for moment in ("decisive", "random")
    ]
    first = made[0]
    assert (first.decisions, first.given.value, first.given.n, first.notes, first.unread) == (4, 0.5, 3, 3, 1)
    assert (first.names_tool.notes, first.names_tool.unjudged, first.names_tool.share.value) == (2, 1, 0.5)
    assert (first.names_value.notes, first.names_value.unjudged, first.names_value.share.value) == (1, 2, 0.0)
    assert (first.contradicts.share.value, first.precision.share.value, first.precision.share.n) == (0.5, 0.5, 2)
    assert made[1].notes == 0 and made[1].precision.share.value is None and made[1].given.value == 0.0


def test_a_note_that_was_read_and_cannot_be_judged_is_not_unread() -> None:
    rule = judge(stated(dce.NOTE.format(rule="Refunds take days.")), at(FOUND))
    assert (rule.names_tool, rule.names_value, rule.contradicts) == (None, None, None)
    (cell,) = note_cells([chosen("a", rule)], ("TSA",))[:1]
    assert (cell.notes, cell.unread, cell.names_tool.unjudged) == (1, 0, 1)


def failed(name: str, actions: Sequence[GoldAction] | None = (FOUND, LOOKED, RETURNED), **changes: object) -> Episode:
    """A return of an item that nobody named, before the order was looked up."""
    opening = [user("Hi, I am Mia Li, zip 10001. Please return the lamp of order #W100."), *identified()[1:3]]
    made = call(RETURN, "done", order_id="#W100", item_ids=["4999180273"])
    logged = episode(*opening, made, agent("Done."), actions=None, tools=TOOLS, name=name)
    return logged.model_copy(update={"gold_actions": actions if actions is None else tuple(actions), **changes})


def run(folder: Path, *more: str, logs: Sequence[Episode]) -> tuple[int, Path]:
    folder.mkdir(exist_ok=True)
    store = EpisodeStore(folder)
    for one in logs:
        store.append(one)
    out = folder / "notes.json"
    return main([str(folder), "--out", str(out), "--reading", "patterns", *more]), out


def test_the_command_judges_what_helpers_would_have_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = [failed("e1"), failed("e2", None), failed("e3", tools=()), failed("e4", task_id="8")]
    done, out = run(tmp_path / "logs", "--router", LINEAR, logs=logs)
    assert done == 0 and "1 of 4 failures left out: their log lacks the agent's tools" in capsys.readouterr().err
    result = NotePrecision.model_validate_json(out.read_text(encoding="utf-8"))
    assert result.failures.model_dump() == {
        "failures": 4, "no_reference": 1, "no_tools": 1, "blamed_elsewhere": 0, "no_decision": 0, "judged": 2
    }  # fmt: skip
    assert result.ahead["decisive"] == {"change": 0, "other": 2, "nothing": 0}  # the look-up comes first
    whole = ("decisive", "all", "all")
    found: dict[str, NoteCell] = {
        cell.chooser: cell for cell in result.cells if (cell.moment, cell.backbone, cell.category) == whole
    }
    assert list(found)[-3:] == ["all six", "cover", "router helpdesk-linear"]
    tsa_cell = found["TSA"]  # "Suggested next tool: get_order_details.", before both wrong returns
    assert (tsa_cell.given.value, tsa_cell.notes, tsa_cell.unread) == (1.0, 2, 0)
    shares = (tsa_cell.names_tool, tsa_cell.names_value, tsa_cell.contradicts, tsa_cell.precision)
    assert [share.share.value for share in shares] == [1.0, 0.0, 0.0, 1.0]
    assert found["Planner"].notes == 0 and found["Planner"].precision.share.value is None
    again = out.read_bytes()
    assert main(result.command.split()[3:]) == 0 and out.read_bytes() == again
    assert "4999180273" not in again.decode() and "#W100" not in again.decode()


def test_of_an_id_the_last_episode_counts(tmp_path: Path) -> None:
    broken = failed("e1", outcome=Outcome(status="error", boundary="model"))
    done, out = run(tmp_path / "logs", logs=[broken, failed("e1"), failed("e2"), failed("e2")])
    assert done == 0
    assert NotePrecision.model_validate_json(out.read_text(encoding="utf-8")).failures.judged == 2


def test_the_result_replaces_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "logs", logs=[failed("e1")])[0] == 0
    log = tmp_path / "logs" / "episodes.jsonl"
    for place in (log, log.parent):
        assert main([str(place), "--out", str(log), "--reading", "patterns"]) == 2
    assert capsys.readouterr().err.count("is one of the logs, which it would replace") == 2
    assert '"e1"' in log.read_text(encoding="utf-8")


def test_bad_input_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "o.json")
    assert main([str(tmp_path), "--out", str(tmp_path / "no" / "o.json")]) == 2
    assert main([str(tmp_path / "gone"), "--out", out, "--reading", "patterns"]) == 2
    assert run(tmp_path / "logs", logs=[failed("e", None)])[0] == 2
    twice = ("--router", LINEAR) * 2
    assert run(tmp_path / "logs", *twice, logs=())[0] == 2
    assert run(tmp_path / "logs", "--router", str(CHECKPOINTS / "helpdesk-retrospective"), logs=())[0] == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5 and "give a file in a folder that exists" in told[0]
    assert "gone" in told[1] and "no failure can be judged" in told[2] and "no_reference 1" in told[2]
    assert "rename one of them" in told[3] and "helpdesk-retrospective" in told[4]
    assert not Path(out).exists()


def test_a_call_that_only_one_action_can_take_is_left_to_it() -> None:
    wide, narrow = gold(RETURN, order_id="#W100"), gold(RETURN, order_id="#W100", item_ids=["4001"])
    parts = [*identified(), *call(RETURN, "ok", order_id="#W100", item_ids=["4001"])]
    parts += call(RETURN, "ok", order_id="#W100", item_ids=["4002"])
    logged = episode(*parts, agent("Goodbye."), actions=(wide, narrow), tools=TOOLS)
    found = standing(Trace.of(logged), len(parts))
    assert found.left == (), "the first action takes the second call, which is right for it, too"
    earlier = standing(Trace.of(logged), len(parts) - 2)
    assert [one.arguments for one in earlier.left] == [{"order_id": "#W100", "item_ids": ["4001"]}]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), unique=True, max_size=4), max_size=6))
def test_as_many_actions_as_can_be_get_a_call_of_their_own(options: list[list[int]]) -> None:
    found = _assigned(options)
    assert all(call in options[action] for action, call in found.items())
    assert len(set(found.values())) == len(found)
    best: list[int] = []
    for action in range(len(options)):  # by plain search: every way to give calls to the actions kept so far
        wanted = [options[one] for one in (*best, action)]
        if any(len(set(calls)) == len(calls) for calls in product(*wanted)):
            best.append(action)
    assert sorted(found) == best


def test_matching_ends_in_time_on_long_logs() -> None:
    start = time.process_time()
    assert len(_assigned([range(750)] * 1500)) == 750
    chain = [[0], *([place, place - 1] for place in range(1, 1500)), [1499]]
    assert len(_assigned(chain)) == 1500
    assert time.process_time() - start < 10


async def test_a_failure_of_three_thousand_messages_is_judged_in_time() -> None:
    parts, actions = [*identified()], []
    for n in range(428):
        wish = user(f"I want to return item 4{n:03d} of order #W{100 + n}, please.")
        parts += [wish, *call(LOOK, ORDER, order_id=f"#W{100 + n}"), agent(f"Return 4{n:03d} of #W{100 + n}?")]
        parts += [user("yes"), *call(RETURN, '{"status": "ok"}', order_id=f"#W{100 + n}", item_ids=[f"4{n:03d}"])]
        actions.append(gold(RETURN, order_id=f"#W{100 + n}", item_ids=[f"4{n:03d}" if n % 3 else "9"]))
    logged = episode(*parts, agent("Goodbye."), actions=tuple(actions), tools=TOOLS)
    choosers = Choosers.of(HelperSettings(reading="patterns"))
    start = time.process_time()
    counts, rows = await judged([logged], choosers, load_taxonomy(), 0)
    assert time.process_time() - start < 15
    assert len(logged.messages) == 3002 and counts.judged == 1 and len(rows) == 16
