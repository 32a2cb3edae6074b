"""Reading of user turns by meaning: acts, wishes, and what helpers make of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fama.agents.reading.layer import ACTS, ReadingLayer, parse_layer, shipped_layer
from fama.agents.reading.reader import Reader, changes_of, shipped_reader
from fama.agents.reading.sentence_vectors import EncoderVectors
from fama.cli import main
from fama.dialogue.calls import calls
from fama.dialogue.objects import listed_rows, named_words
from fama.dialogue.pending import asked_about
from fama.dialogue.requests import asks_change, open_wants, wants
from fama.dialogue.turns import correction_at, last_correction, turn_accepts, turn_agrees, turn_corrects
from fama.episodes.state import SentenceReading, TurnReading, VisibleState
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.selection.router.embedder import Embedder
from tests.support.note_states import Chat, tool

TOOLS = (
    tool("get_booking", "Show one booking.", "booking_id"),
    tool("cancel_booking", "Cancel a booking.", "booking_id"),
    tool("change_date", "Move a booking to another date.", "booking_id", "date"),
    tool("add_baggage", "Add bags to a booking.", "booking_id", "bags"),
    tool("finish", "End the conversation."),
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    found = shipped_reader("meaning")
    assert found is not None
    return found


def encoder_of(reader: Reader) -> Embedder:
    assert isinstance(reader.vectors, EncoderVectors)
    return reader.vectors.embedder


def read(reader: Reader, chat: Chat) -> VisibleState:
    state = chat.state()
    return replace(state, readings=reader.read(state))


def chat(*turns: str) -> Chat:
    """A conversation in a domain that the layer was not fitted on; the agent answers between the user's turns."""
    found = Chat(tools=TOOLS)
    for place, turn in enumerate(turns):
        found = found.user(turn) if place % 2 == 0 else found.say(turn)
    return found


def test_turns_are_read_in_words_that_no_pattern_knows(reader: Reader) -> None:
    state = read(
        reader,
        chat(
            "heyy, wanna cancel the booking, cant make it",
            "I will cancel booking B-17. Shall I?",
            "go for it",
            "Which date?",
            "hmm nah strike that, I told you rubbish before, the 9th is what I'm after",
        ),
    )
    plain = replace(state, readings=())
    assert [turn.index for turn in state.readings] == [0, 2, 4]
    assert turn_agrees(state, 2) and not turn_agrees(plain, 2)
    assert turn_corrects(state, 4) and not turn_corrects(state, 2)
    assert last_correction(state) == 2
    assert not turn_accepts(state, 0)
    assert [want.tool.name for want in wants(state)][:1] == ["cancel_booking"]


def test_wishes_find_tools_of_a_domain_that_nothing_was_fitted_on(reader: Reader) -> None:
    for text, wanted in (
        ("can we shove my flight to the week after", "change_date"),
        ("there will be two more suitcases with me, need them on the reservation", "add_baggage"),
        ("kill that booking for me", "cancel_booking"),
    ):
        state = read(reader, chat(text))
        assert [want.tool.name for want in open_wants(state)][:1] == [wanted] and asks_change(state)


def test_questions_are_no_wishes(reader: Reader) -> None:
    state = read(reader, chat("could you have a look when my booking B-17 leaves?"))
    assert wants(state) == () and not asks_change(state)
    assert [want.tool.name for want in asked_about(state)] == ["get_booking"]


def test_two_wishes_of_one_sentence_are_two(reader: Reader) -> None:
    state = read(reader, chat("please cancel my booking B-17 and add two bags to my booking B-20"))
    assert {want.tool.name for want in wants(state)} == {"cancel_booking", "add_baggage"}


def test_the_opening_turn_agrees_to_nothing_and_takes_nothing_back(reader: Reader) -> None:
    text = "Sorry for the bother, no, it is only that I got the date wrong."
    first, second = reader.read(chat(text, "Which date?", text).state())
    assert {part.act for part in first.sentences} <= {"ask_change", "ask_info", "other"}
    assert "correct" in {part.act for part in second.sentences}


def test_a_wish_behind_a_greeting_is_read(reader: Reader) -> None:
    for greeting in ("hiya there, ", "Good eevning, ", "hello all, hope im right here, "):
        state = read(reader, chat(f"{greeting}I'm trying to cancel a booking"))
        assert [want.tool.name for want in wants(state)] == ["cancel_booking"], greeting


def test_what_was_called_last_counts_where_no_row_holds_all_that_was_named() -> None:
    """The second turn takes the first object back in words that nothing reads; without a reading all words stay."""
    state = (
        chat("I want to cancel the booking of the harbour tour", "Which?", "my head... it is the castle walk I mean")
        .call(
            "list_bookings", {"bookings": [{"id": "B1", "name": "harbour tour"}, {"id": "B2", "name": "castle walk"}]}
        )
        .state()
    )
    rows = listed_rows("id", calls(state))
    other = (SentenceReading("it is the castle walk I mean", "other"),)
    wish = (SentenceReading("I want to cancel the booking of the harbour tour", "ask_change", ("cancel_booking",)),)
    read_state = replace(state, readings=(TurnReading(0, wish), TurnReading(2, other)))
    want = wants(read_state)[0]
    assert named_words(want, read_state, rows) == {"castl", "walk"}
    assert {"harbour", "castl"} < named_words(want, state, rows)


def test_a_reading_decides_alone_where_there_is_one() -> None:
    """The pattern would read a yes; the reading says that it takes something back."""
    state = chat("cancel it", "Sure?", "yes, perfect").state()
    taken = TurnReading(2, (SentenceReading("yes, perfect", "correct"), SentenceReading("perfect", "agree")))
    assert turn_agrees(state, 2) and not turn_agrees(replace(state, readings=(taken,)), 2)
    assert correction_at(replace(state, readings=(taken,)), 2) == "yes, perfect perfect"
    unknown = TurnReading(0, (SentenceReading("cancel it", "ask_change", ("no_such_tool",)),))
    assert wants(replace(state, readings=(unknown,))) == ()


def test_reading_again_gives_the_same_and_costs_no_encoding(reader: Reader) -> None:
    state = chat("I need to cancel the booking").state()
    first = reader.read(state)
    embedder = encoder_of(reader)
    encoded = embedder.encoded
    assert reader.read(state) == first and embedder.encoded == encoded
    assert reader.read(chat("").state()) == (TurnReading(0, ()),)


def test_a_pasted_block_is_read_by_its_start(reader: Reader) -> None:
    (turn,) = reader.read(chat("x." * 50_000 + ". Please cancel booking B7.").state())
    block, wish = turn.sentences
    assert block.text == "x." * 2_000 and wish.text == "Please cancel booking B7." and wish.tools == ("cancel_booking",)


def test_tools_in_words_have_their_parameters() -> None:
    texts = {tool.name: tool for tool in changes_of(chat("hi").state())}
    assert set(texts) == {"cancel_booking", "change_date", "add_baggage"}
    assert texts["change_date"].short == "change date: Move a booking to another date."
    assert texts["change_date"].long == "change date: Move a booking to another date. booking id, date"


def test_probabilities_by_hand() -> None:
    weight = np.zeros((len(ACTS), 2))
    weight[0] = [np.log(2.0), 0.0]
    layer = ReadingLayer("e", ACTS, weight, np.zeros(len(ACTS)), 0.0, 0.0, "d")
    chances = layer.probabilities(np.array([[1.0, 0.0]], dtype=np.float32))
    assert chances[0] == pytest.approx([2 / 7, *[1 / 7] * 5])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"acts": ["agree"]}, "do not fit"),
        ({"bias": [0.0]}, "do not fit"),
        ({"bias": [float("nan")] * 6}, "not finite"),
        ({"weight": "x"}, "could not convert"),
    ],
)
def test_a_damaged_layer_is_refused(change: dict[str, object], reason: str) -> None:
    layer = shipped_layer("meaning")
    value = {
        "encoder": "e",
        "acts": list(layer.acts),
        "weight": layer.weight.tolist(),
        "bias": layer.bias.tolist(),
        "least": 0.1,
        "margin": 0.1,
    }
    assert parse_layer(json.dumps(value)).least == 0.1
    with pytest.raises(BadInput, match=rf"layer: .*{reason}.*; make it again with"):
        parse_layer(json.dumps(value | change))


def test_a_run_reads_by_meaning_and_says_so(tmp_path: Path) -> None:
    run = ["run", "model.name=scripted:echo", "tasks=1", "selector={name: fixed, options: {subset: [TSA, Memory]}}"]
    assert main([*run, "helpers.reading=meaning", "--out", str(tmp_path / "a")]) == 0
    assert main([*run, "helpers.reading=patterns", "--out", str(tmp_path / "b")]) == 0
    a, b = (next(iter(read_episodes(tmp_path / name))) for name in "ab")
    assert a.prompt_hashes["reading"] == shipped_layer("meaning").digest and "reading" not in b.prompt_hashes
    assert a.config_hash != b.config_hash


def test_a_turn_is_read_in_steps_of_sentences(reader: Reader) -> None:
    state = chat(
        "Cancel my trip to Oslo. Is breakfast served? Thanks a lot for looking.", "Which one?", "Both."
    ).state()
    assert len(list(reader.steps(state))) == 4
    embedder = encoder_of(reader)
    encoded = embedder.encoded
    assert not reader.is_quick(state)
    readings = reader.read(state)
    assert reader.is_quick(state) and not reader.is_quick(chat("Cancel my trip to Rome.").state())
    assert [len(turn.sentences) for turn in readings] == [3, 1] and embedder.encoded == encoded
    assert not list(reader.steps(state)), "what was read once is in memory"
