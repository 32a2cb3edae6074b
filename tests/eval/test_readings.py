"""The reading set: the draw, the committed ids, what a reader gets, and what is wrong with answers."""

import asyncio
import gzip
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.readings.__main__ import main
from eval.readings.annotator_agreement import Named, measure_agreement, of_detectors, read_named
from eval.readings.draw import PER_TASK, SEED, STRATA, customer, draw_failures, read_logs
from eval.readings.finding_weights import FindingChoice, cross_validate, fit_weights
from eval.readings.judge import Judging, measure_judge
from eval.readings.measured import AGREEMENT, lines_about, read_measured, record_scores
from eval.readings.members import HALVES, SET, Half, Stratum, read_set, write_set
from eval.readings.packets import BATCHES, batches, packet, policy
from eval.readings.reader_answers import Reading, ReadingAnswer, faults, read_answers
from eval.readings.readings import AGAIN, AGAIN_READERS, FOLDER, agree, final, read_readings
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode, FunctionCall, GoldAction, Message, Outcome, ToolCall, ToolSpec
from fama.episodes.store import EpisodeStore, read_failures, write_failures
from fama.errors import BadInput
from fama.intervals import Interval
from fama.settings import ModelSettings
from tests.support.label_builders import label
from tests.support.published_logs import FAILURE_LOGS, needs_logs

STRATUM = Stratum(benchmark="tau-bench", domain="airline", backbone="b", strategy="fc", size=8)
OTHER = STRATUM.model_copy(update={"benchmark": "tau2", "size": 4})


def failure(number: int, task: int, benchmark: str = "tau-bench", said: str | None = None) -> Episode:
    """An episode of customer ``task``, whatever the benchmark's number of the task."""
    return Episode(
        id=f"{benchmark}-{number}",
        benchmark=benchmark,
        domain="airline",
        task_id=str(task if benchmark == "tau-bench" else 100 - task),
        trial=number,
        backbone="b",
        strategy="fc",
        messages=(Message(role="user", content=said or f"{benchmark} {number}"),),
        outcome=Outcome(status="failure", reason="done"),
        reward=0.0,
        instruction=f"Your user id is mia_li_{1000 + task}.",
    )


def logs() -> list[Episode]:
    own = [failure(number, number % 10) for number in range(40)]
    return own + [failure(number, number % 10, "tau2") for number in range(20)]


def talk() -> Episode:
    rows = json.dumps([{"flight": f"HAT{number:03d}", "price": 100 + number} for number in range(900)])
    call = ToolCall(id="c", function=FunctionCall(name="search", arguments='{"date": "2024-05-20"}'))
    return failure(0, 1).model_copy(
        update={
            "messages": (
                Message(role="system", content="Refunds take\n7 days."),
                Message(role="user", content="The cheapest flight, please."),
                Message(role="assistant", tool_calls=(call,)),
                Message(role="tool", content=rows, tool_call_id="c"),
                Message(role="assistant", content="That’s HAT612, at  712."),
            ),
            "gold_actions": (GoldAction(name="book", arguments='{"flight": "HAT777"}'),),
        }
    )


def test_the_draw_is_random_and_the_order_of_the_logs_has_no_part_in_it() -> None:
    episodes = logs()
    first = draw_failures(episodes, (STRATUM, OTHER))
    random.Random(1).shuffle(episodes)
    assert draw_failures(episodes, (STRATUM, OTHER)) == first
    assert {m.id for m in draw_failures(episodes, (STRATUM, OTHER), seed=1).members} != set(first.by_id)


@pytest.mark.parametrize("seed", range(20))
def test_halves_are_of_equal_size_and_share_no_customer_across_benchmarks(seed: int) -> None:
    episodes = {episode.id: episode for episode in logs()}
    drawn = draw_failures(episodes.values(), (STRATUM, OTHER), seed).members
    sizes = Counter((m.benchmark, m.half) for m in drawn)
    assert sizes == {(s.benchmark, half): s.size // 2 for s in (STRATUM, OTHER) for half in HALVES}
    people = [{customer(episodes[m.id]) for m in drawn if m.half == half} for half in HALVES]
    assert not people[0] & people[1]
    assert max(Counter(m.task_key for m in drawn).values()) <= PER_TASK


@pytest.mark.parametrize("half", HALVES)
def test_further_failures_are_of_one_half_s_customers_and_none_twice(half: Half) -> None:
    episodes = {episode.id: episode for episode in logs()}
    first = draw_failures(episodes.values(), (STRATUM, OTHER))
    further = draw_failures(episodes.values(), (OTHER,), 1, first, half)
    people = {customer(episodes[m.id]) for m in first.members if m.half != half}
    assert len(further.members) == OTHER.size and {m.half for m in further.members} == {half}
    assert not set(further.by_id) & set(first.by_id)
    assert not people & {customer(episodes[m.id]) for m in further.members}


def test_successes_errors_and_second_copies_of_a_dialogue_are_not_drawn() -> None:
    done = Outcome(status="success")
    broken = Outcome(status="error", boundary="harness")
    episodes = [
        *(failure(number, number) for number in range(4)),
        *(failure(number, number).model_copy(update={"outcome": done}) for number in range(10, 14)),
        *(failure(number, number).model_copy(update={"outcome": broken}) for number in range(20, 24)),
    ]
    few = STRATUM.model_copy(update={"size": 4})
    assert {m.id for m in draw_failures(episodes, (few,)).members} == {f"tau-bench-{number}" for number in range(4)}
    same = [failure(number, number, said="equal words") for number in range(4)]
    with pytest.raises(BadInput, match=r"tau-bench/airline/b/fc: [01] failures for \w+, 2 wanted; give all the logs"):
        draw_failures(same, (few,))


def test_the_committed_set_has_its_strata_its_halves_and_nothing_twice(tmp_path: Path) -> None:
    drawn = read_set()
    assert (drawn.seed, drawn.strata) == (SEED, STRATA)
    assert len(drawn.by_id) == len(drawn.members) == sum(s.size for s in STRATA) == 120
    names = ("benchmark", "domain", "backbone", "strategy", "half")
    found = Counter(tuple(getattr(m, name) for name in names) for m in drawn.members)
    assert found == {
        (s.benchmark, s.domain, s.backbone, s.strategy, half): s.size // 2 for s in STRATA for half in HALVES
    }
    tasks = Counter((m.task_key, m.half) for m in drawn.members)
    assert max(tasks.values()) <= PER_TASK and len({task for task, _ in tasks}) == len(tasks)
    write_set(drawn, tmp_path / "set.yaml")
    assert (tmp_path / "set.yaml").read_bytes() == SET.read_bytes()


@needs_logs
def test_the_committed_set_is_what_the_logs_give() -> None:
    assert draw_failures(read_logs(FAILURE_LOGS)) == read_set()


def test_batches_hold_every_failure_once_and_as_many_of_each_half() -> None:
    drawn = read_set()
    parts = batches(drawn)
    assert sorted(one for ids in parts.values() for one in ids) == sorted(drawn.by_id)
    share = len(drawn.members) // BATCHES // len(HALVES)
    for ids in parts.values():
        order = [drawn.by_id[one].half for one in ids]
        assert Counter(order) == dict.fromkeys(HALVES, share)
        assert order not in (sorted(order), sorted(order, reverse=True))  # a place in the batch tells no half


def test_a_packet_numbers_messages_and_keeps_what_matters_of_long_outputs() -> None:
    text = packet(talk())
    assert len(talk().messages[3].content or "") > 25_000 > len(text)
    assert '[2] agent: CALL search {"date": "2024-05-20"}' in text and "[4] agent: That’s HAT612" in text
    assert '{"flight": "HAT777", "price": 877}' in text and "HAT500" not in text and "characters cut …]" in text
    assert "Refunds" not in text  # the policy has a file of its own
    cut = [int(part.split(" ", 1)[0]) for part in text.split("[… ")[1:]]
    shown = text.split("[3] tool result: ")[1].split("\n[4]")[0]
    for size in cut:
        shown = shown.replace(f" [… {size} characters cut …]", "", 1)
    assert abs(len(shown) + sum(cut) - len(talk().messages[3].content or "")) <= len(cut)  # a blank behind each gap


def test_a_policy_lists_tools_that_exist() -> None:
    calls = [ToolCall(id=name, function=FunctionCall(name=name, arguments="{}")) for name in ("search", "invented")]
    results = ('{"price": 3}', "Unknown action invented")
    rows = [
        message
        for call, result in zip(calls, results, strict=True)
        for message in (
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=result, tool_call_id=call.id),
        )
    ]
    episode = talk().model_copy(update={"messages": (Message(role="system", content="Refunds take 7 days."), *rows)})
    assert policy([episode]) == "Refunds take 7 days.\n\nTOOLS (those that answered a call in a log)\n- search\n"
    book = ToolSpec(name="book", description="Book a seat. It costs.")
    told = policy([episode, episode.model_copy(update={"tools": (book,)})])
    assert told == "Refunds take 7 days.\n\nTOOLS\n- book: Book a seat\n"


def test_the_guide_has_the_taxonomy_word_for_word() -> None:
    guide = " ".join((SET.parent / "guide.md").read_text(encoding="utf-8").split())
    taxonomy = load_taxonomy()
    assert taxonomy.version in guide
    for category in taxonomy.categories:
        wanted = f"- **{category.code}**, {category.name}: {category.definition} Not: {'; '.join(category.not_this)}."
        assert wanted in guide


GOOD = {
    "id": "tau-bench-0",
    "category": "WRCO",
    "blame": "agent",
    "step": 4,
    "should": "Take the first row.",
    "quote": "That's HAT612, at 712.",
    "confidence": "high",
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"category": None, "blame": "user", "step": 1, "quote": "Refunds take 7 days."}, None),
        ({"category": None, "blame": "environment", "step": 3, "quote": '"flight": "HAT500"'}, None),
        ({"second": "CM"}, None),
        ({"id": "x"}, "id: is not in the reading set"),
        ({"category": "ABC"}, "category: 'ABC' is no category; give one of DCV, WRCO, CM, IFU"),
        ({"second": "ABC"}, "second: 'ABC' is no category"),
        ({"second": "WRCO"}, "second: is the first category again"),
        ({"category": None}, "category: is None with blame agent"),
        ({"blame": "user", "step": 1}, "category: is WRCO with blame user"),
        ({"step": 5}, "step: 5 is past the last message, 4"),
        ({"step": 3}, "step: message 3 is of role tool, the agent is to blame"),
        ({"step": -1}, "field 'step' has a value that does not fit"),
        ({"step": None}, "field 'step' has a value that does not fit"),
        ({"quote": "That's HAT613"}, "quote: does not stand in the dialogue"),
        ({"confidence": "sure"}, "field 'confidence' has a value that does not fit"),
        ({"why": "so"}, "field 'why' is unknown"),
    ],
)
def test_one_line_a_fault(change: dict[str, object], fault: str | None, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(GOOD | change) + "\n", encoding="utf-8")
    found = faults(path, {"tau-bench-0": talk()}, load_taxonomy())
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1 and found[0].startswith(f"{path}:1: ") and fault in found[0]


def test_lines_that_are_no_answer_and_second_answers(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\nno JSON\n[1]\n{json.dumps(GOOD)}\n", encoding="utf-8")
    assert [line.removeprefix(f"{path}:") for line in faults(path, {"tau-bench-0": talk()}, load_taxonomy())] == [
        "3: is no JSON object; write one object per line",
        "4: not a record; see the guide for the form",
        "5: tau-bench-0: id: is answered in line 1, too; delete one",
    ]


def test_a_quote_may_hold_a_separator_of_lines(tmp_path: Path) -> None:
    """U+2028 stands as it is in JSON and ends no line of a file."""
    path = tmp_path / "answers.jsonl"
    told = {"id": "e", "category": "CM", "blame": "agent", "step": 2, "should": "x", "confidence": "high"}
    path.write_text(json.dumps({**told, "quote": "one\u2028two"}, ensure_ascii=False) + "\n", encoding="utf-8")
    ((number, answer),) = read_answers(path)
    assert number == 1 and isinstance(answer, ReadingAnswer) and answer.quote == "one\u2028two"


def test_the_command_writes_packets_and_checks_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "task_id": 3,
        "reward": 0.0,
        "trial": 0,
        "info": {
            "task": {"user_id": "u", "actions": [], "instruction": "Cancel.", "outputs": []},
            "reward_info": {"a": 1},
        },
    }
    folder = tmp_path / "logs"
    folder.mkdir()
    place, answers = tmp_path / "set.yaml", tmp_path / "answers.jsonl"
    for name in ("qwen3-4b_fc_airline", "gpt-4o_fc_airline"):
        turns = [
            {"role": "user", "content": f"<think>hidden</think>Hello {name}"},
            {"role": "assistant", "content": "Bye."},
        ]
        rows = [row | {"task_id": task, "traj": [*turns, {"role": "user", "content": str(task)}]} for task in range(4)]
        with gzip.open(folder / f"{name}.json.gz", "wt", encoding="utf-8") as file:
            json.dump(rows, file)
    strata = tuple(
        Stratum(benchmark="tau-bench", domain="airline", backbone=backbone, strategy="fc", size=2)
        for backbone in ("qwen3-4b", "gpt-4o")
    )
    drawn = draw_failures(read_logs(folder), strata)
    write_set(drawn, place)
    assert main(["packets", str(folder), "--out", str(tmp_path / "out"), "--set", str(place)]) == 0
    written = {path.stem for path in (tmp_path / "out" / "packets").iterdir()}
    assert written == {"policy-airline", *drawn.by_id}
    member = drawn.members[0]
    text = (tmp_path / "out" / "packets" / f"{member.id}.txt").read_text(encoding="utf-8")
    assert "[0] user: Hello qwen3-4b_fc_airline" in text and "hidden" not in text
    assert sorted(sum(json.loads((tmp_path / "out" / "batches.json").read_bytes()).values(), [])) == sorted(drawn.by_id)

    for quote, code, told in (("Bye.", 0, ""), ("Good bye", 2, "quote: does not stand in the dialogue")):
        answer = GOOD | {"id": member.id, "category": "IFU", "step": 1, "quote": quote}
        answers.write_text(json.dumps(answer) + "\n", encoding="utf-8")
        assert main(["check", str(answers), str(folder), "--set", str(place)]) == code
        assert told in capsys.readouterr().out
    assert main(["check", str(answers), str(folder)]) == 2
    assert "lacks 120 failures of" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "none"), str(folder), "--set", str(place)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def read(one: str, category: str | None, step: int, blame: str = "agent") -> Reading:
    return Reading.model_validate({"id": one, "category": category, "blame": blame, "step": step, "confidence": "high"})


def test_what_is_published_holds_no_words_of_dialogues(tmp_path: Path) -> None:
    answer = {**GOOD, "id": "x", "should": "secret", "quote": "hidden words"}
    (tmp_path / "a.jsonl").write_text(json.dumps(answer) + "\n", encoding="utf-8")
    assert main(["publish", "more", str(tmp_path / "a.jsonl"), "--folder", str(tmp_path)]) == 0
    text = (tmp_path / "more.jsonl").read_text(encoding="utf-8")
    assert "secret" not in text and "hidden" not in text
    assert read_readings("more", tmp_path)["x"].step == GOOD["step"]
    (tmp_path / "a.jsonl").write_text(json.dumps(answer) + "\n" + json.dumps(answer) + "\n", encoding="utf-8")
    assert main(["publish", "more", str(tmp_path / "a.jsonl"), "--folder", str(tmp_path)]) == 2


def test_the_committed_readings_cover_the_set_and_a_third_decides_every_difference() -> None:
    first, second, third = (read_readings(name) for name in ("reader-a", "reader-b", "third"))
    ids = set(read_set().by_id)
    assert set(first) == set(second) == ids
    assert set(third) == {one for one in ids if not agree(first[one], second[one])}
    assert len(final("tuning")) == len(final("test")) == 60
    again = read_set(AGAIN)
    one, other, deciding = (read_readings(name) for name in AGAIN_READERS)
    assert set(one) == set(other) == set(final("again")) == set(again.by_id) and not set(again.by_id) & ids
    assert set(deciding) == {id_ for id_ in one if not agree(one[id_], other[id_])}
    tuned = {member.task_key for member in read_set().members if member.half == "tuning"}
    assert not tuned & {member.task_key for member in again.members}
    further = read_set(FOLDER / "more.yaml")
    assert set(read_readings("more")) == set(further.by_id) and not set(further.by_id) & ids
    tested = {member.task_key for member in read_set().members if member.half == "test"}
    assert not tested & {member.task_key for member in further.members}


def test_agreement_by_hand() -> None:
    readings = {
        r.id: r for r in (read("a", "DCV", 4), read("b", "IFU", 8), read("c", None, 3, "user"), read("d", "CM", 5))
    }
    named = {
        "a": Named("DCV", "agent", 4),
        "b": Named("CM", "agent", 9),
        "c": Named("IFU", "agent", None),
        "d": Named("CM", "agent", 8),
    }
    row = measure_agreement("x", readings, named, {one: one for one in readings})
    assert [row.category.value, row.party.value, row.label.value] == pytest.approx([2 / 3, 0.75, 0.5])
    assert {within: share.value for within, share in row.steps.items()} == {0: 0.25, 1: 0.5, 3: 0.75}
    chance = (1 + 1 * 2 + 1) / 16  # DCV, CM and IFU, each by how often either side names it
    assert row.kappa.value == pytest.approx((0.5 - chance) / (1 - chance))
    assert row.kappa.low is not None and row.kappa.high is not None and row.kappa.low < row.kappa.high
    perfect = {one: Named(r.category, r.blame, r.step) for one, r in readings.items()}
    best = measure_agreement("x", readings, perfect, {one: one for one in readings})
    assert best.kappa == Interval(1.0, None, None, 4), "resamples of a perfect agreement have no width"
    assert best.party.value == 1.0 and best.party.low is not None and best.party.low < 1.0
    assert measure_agreement("x", readings, {}, {}).kappa == Interval(None, None, None, 0)


def test_labels_that_were_only_begun_name_nothing_and_unknown_categories_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    write_failures(path, [label(0, "CM"), label(1, step=3), label(2).model_copy(update={"fits_none": True})])
    assert read_named(path, load_taxonomy()) == {"e0": Named("CM", "agent", None), "e2": Named(None, "agent", None)}
    write_failures(path, [label(0, "ROW", taxonomy="hotel/1")])
    with pytest.raises(BadInput, match="names 'ROW', which is no category of fama-4/1"):
        read_named(path, load_taxonomy())


def test_a_judge_is_measured_kept_and_told(tmp_path: Path) -> None:
    episodes = {f"tau-bench-{n}": failure(n, n) for n in range(4)}
    readings = {one: read(one, "DCV" if one != "tau-bench-3" else None, 0, "agent") for one in episodes}
    readings["tau-bench-3"] = read("tau-bench-3", None, 0, "user")
    tasks = {one: one for one in episodes}
    judging = Judging(ModelSettings(name="scripted:echo"), 2000)
    found = asyncio.run(measure_judge("test", episodes, readings, tasks, tmp_path / "labels", judging))
    by_rule = {one: of_detectors(episode, load_taxonomy()) for one, episode in episodes.items()}
    assert found.row == measure_agreement(
        "judge:scripted:echo+evidence", readings, by_rule, tasks
    )  # nonsense: the rule
    assert (found.row.failures, found.context_tokens, found.stale) == (4, 2000, False)

    with pytest.raises(BadInput, match="context_tokens was 2000 and is now 3000; set it back"):
        wider = replace(judging, context_tokens=3000)
        asyncio.run(measure_judge("test", episodes, readings, tasks, tmp_path / "labels", wider))
    other = EpisodeStore(tmp_path / "run")
    other.append(failure(9, 9))
    kept = other.path.read_bytes()
    with pytest.raises(BadInput, match=r"run: holds other episodes \(tau-bench-9\)"):
        asyncio.run(measure_judge("test", episodes, readings, tasks, tmp_path / "run", judging))
    assert other.path.read_bytes() == kept

    worse = found.model_copy(update={"row": found.row.model_copy(update={"failures": 3})})
    record_scores([worse], tmp_path)
    record_scores([found, found.model_copy(update={"half": "tuning", "prompts": "old"})], tmp_path)
    assert [one.row.failures for one in read_measured(tmp_path)] == [4, 4]  # one of the same half is replaced
    with pytest.raises(BadInput, match="was measured on 4 failures of the test part, this is on 3; measure all"):
        record_scores([worse], tmp_path)
    assert [one.row.failures for one in read_measured(tmp_path)] == [4, 4]
    told = lines_about(found.row.name, found.taxonomy, 6000, {}, tmp_path)
    assert "4 read failures of 4 tasks (test part" in told[0] and "with --context 2000" in told[1]
    assert any("prompts have changed" in line for line in told[2:])
    unknown = lines_about("judge:other", found.taxonomy, 2000, {}, tmp_path)
    assert len(unknown) == 1 and "never measured" in unknown[0]
    assert lines_about(found.row.name, "another taxonomy", 2000, {}, tmp_path)[0].startswith(found.row.name)
    sampled = replace(judging, model=ModelSettings(name="scripted:echo", temperature=0.7, max_tokens=2000))
    found = asyncio.run(measure_judge("test", episodes, readings, tasks, tmp_path / "sampled", sampled))
    record_scores([found], tmp_path)
    assert read_measured(tmp_path)[0].sampling == {"temperature": 0.7, "max_tokens": 2000}
    told = lines_about(found.row.name, found.taxonomy, 2000, {}, tmp_path)
    assert told[1] == "that was sampled with max_tokens 2000, temperature 0.7, this with each question's own settings"
    same = lines_about(found.row.name, found.taxonomy, 2000, {"temperature": 0.7, "max_tokens": 2000}, tmp_path)
    assert not any("sampled" in line for line in same[:2])
    (tmp_path / AGREEMENT).write_text('{"half": "test"}\n', encoding="utf-8")
    with pytest.raises(BadInput, match="agreement.jsonl:1: field 'row' is missing; fix or delete that line"):
        read_measured(tmp_path)


def test_a_judge_labels_the_same_first_failures_and_more_on_request(tmp_path: Path) -> None:
    episodes = {f"tau-bench-{n}": failure(n, n) for n in range(6)}
    readings = {one: read(one, "DCV", 0) for one in episodes}
    tasks = {one: one for one in episodes}
    kept = []
    for first in (2, 4):
        judging = Judging(ModelSettings(name="scripted:echo"), 2000, use_evidence=False, first=first)
        found = asyncio.run(measure_judge("tuning", episodes, readings, tasks, tmp_path, judging))
        kept.append([label.episode_id for label in read_failures(tmp_path)])
        assert (found.row.name, found.row.failures) == ("judge:scripted:echo", first)
    assert kept[1][:2] == kept[0]  # what was judged is not judged again


@needs_logs
@pytest.mark.slow
def test_detectors_agree_with_the_readings_that_they_were_tuned_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agree", str(FAILURE_LOGS)]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    detectors = next(row for row in rows if row[1].strip() == "detectors")
    assert int(detectors[4].split()[0]) >= 60 and int(detectors[9].split()[0]) >= 40


def test_a_fit_finds_the_source_that_readings_follow() -> None:
    worth = np.array([0.0, 3.0])
    given = [
        FindingChoice(str(n), ("gold:missing", "end:limit"), (Named("IFU", "agent", 9), Named("CM", "agent", 2)), worth)
        for n in range(20)
    ]
    by_hand = np.array([0.0, 1.0])
    fitted = fit_weights(given, ["end:limit", "gold:missing"], by_hand, penalty=0.01)
    assert fitted[0] > fitted[1]
    assert fit_weights(given, ["end:limit", "gold:missing"], by_hand, penalty=1e6) == pytest.approx(by_hand, abs=1e-3)
    readings = {choice.id: read(choice.id, "CM", 2) for choice in given}
    rows = cross_validate(given, readings, {choice.id: choice.id for choice in given})
    assert rows[0].category.value == 0.0  # by hand a change never made outweighs a limit
    assert rows[1].category.value == 1.0
