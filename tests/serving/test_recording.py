"""Conversations become episodes: once each, without notes, whatever stops the server."""

import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fama.advising.advisor import Advisor
from fama.cli import main
from fama.episodes.records import LedgerRow, total_tokens
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.serving.counters import Metrics
from fama.serving.recording.exchange import Exchange
from fama.serving.recording.recorder import ConversationRecorder
from fama.serving.server import advice_hash
from fama.serving.settings import RecordSettings, ServeSettings
from fama.settings import ModelSettings
from tests.support.serving import DONE, ScriptedUpstream, chunk, completion, endpoint, plain, speaking, spoken

Message = dict[str, Any]
ROOT = Path(__file__).parents[2]
HOOKS = "tests.support.record_hooks"
TOOL = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {}}}}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str | None, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def exchange(messages: list[Message], *answers: Message, at: float = 0.0, model: str = "m") -> Exchange:
    choices = [{"index": i, "message": answer, "finish_reason": "stop"} for i, answer in enumerate(answers)]
    return Exchange({"model": model, "messages": messages}, {"choices": choices}, None, at, 0.5)


def test_the_calls_of_a_failed_advice_are_recorded() -> None:
    spent = LedgerRow(role="helper:Alpha", model="m", input_tokens=30, output_tokens=10)
    failed = replace(exchange([user("Hi")], assistant("Hello!")), spent=(spent,))
    episode = failed.episode("e", "none", "", "", None)
    assert [(row.role, row.turn) for row in episode.ledger] == [("helper:Alpha", 0), ("agent", 0)]
    assert episode.decisions == () and total_tokens(episode.ledger, "helper") == 40


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def recorder(folder: Path, clock: Clock | None = None, **settings: Any) -> ConversationRecorder:
    return ConversationRecorder(RecordSettings(**settings), folder, "all", Metrics(), clock or Clock())


async def closed(one: ConversationRecorder, *exchanges: Exchange) -> None:
    async with one.sweeping():
        for each in exchanges:
            await one.record(each)


def texts(folder: Path) -> list[Any]:
    return sorted([message.content for message in episode.messages] for episode in read_episodes(folder))


async def test_a_conversation_is_one_episode_and_branches_are_others(tmp_path: Path) -> None:
    start = [{"role": "system", "content": "Policy."}, user("Hi")]
    first = exchange(start, assistant("Hello!"))
    second = exchange([*start, assistant("Hello!", refusal=None, annotations=[]), user("A")], assistant("a"))
    other = exchange(start, assistant("Good day."))
    on = exchange([*start, assistant("Good day."), user("B")], assistant("b"))
    retried = exchange([*start, assistant("Good day."), user("B")], assistant("b"), at=1.0)
    branch = exchange([*start, assistant("Good day."), user("C")], assistant("c"))
    await closed(recorder(tmp_path), first, other, second, on, retried, branch)
    assert texts(tmp_path) == [
        ["Policy.", "Hi", "Good day.", "B", "b"],
        ["Policy.", "Hi", "Good day.", "C", "c"],
        ["Policy.", "Hi", "Hello!", "A", "a"],
    ]
    assert [len(e.ledger) for e in read_episodes(tmp_path) if e.messages[3].content == "B"] == [3]


@pytest.mark.parametrize(
    ("earlier", "later", "together"),
    [
        ("Policy. It is 9:05.", "Policy. It is 10:12.", True),
        ("It is 11:59 AM, Monday.", "It is 1:05 PM, Monday.", True),
        ("Now: 2026-11-30T09:05:12.031Z", "Now: 2026-11-30T09:05:13Z", True),
        ("Customer 12.", "Customer 13.", False),
        ("Verse 1:23:45:6", "Verse 1:23:45:7", False),
    ],
)
async def test_a_clock_in_the_system_prompt_begins_no_conversation(
    tmp_path: Path, earlier: str, later: str, together: bool
) -> None:
    said = [user("Hi"), assistant("Hello!"), user("It is 9:05 here")]
    first = exchange([{"role": "system", "content": earlier}, *said[:1]], assistant("Hello!"))
    second = exchange([{"role": "developer", "content": later}, *said], assistant("Bye"))
    await closed(recorder(tmp_path), first, second)
    whole = [later, "Hi", "Hello!", "It is 9:05 here", "Bye"]
    assert texts(tmp_path) == ([whole] if together else sorted([[earlier, "Hi", "Hello!"], whole]))


async def test_replies_are_known_again_as_clients_echo_them(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
    echo = {"id": "other", "type": "function", "function": {"name": "f", "arguments": '{"b":2,"a":1}'}}
    result = {"role": "tool", "tool_call_id": "other", "content": "ok"}
    chosen = exchange([user("x")], assistant("one"), assistant("two"))
    await closed(
        recorder(tmp_path),
        exchange([user("q")], assistant("I look.", tool_calls=[call])),
        exchange([user("q"), assistant(None, tool_calls=[echo]), result], assistant("<think>t</think> Done.")),
        exchange(
            [user("q"), assistant(None, tool_calls=[echo]), result, assistant("Done."), user("!")], assistant("z")
        ),
        chosen,
        exchange([user("x"), assistant("two"), user("y")], assistant("end")),
    )
    assert texts(tmp_path) == [["q", None, "ok", "Done.", "!", "z"], ["x", "two", "y", "end"]]


def turns(number: int, at: float, words: str = "") -> list[Exchange]:
    """A conversation of so many requests, one per second."""
    history, found = [user(f"Hi{words}")], []
    for turn in range(number):
        found.append(exchange([*history], assistant(f"a{turn}"), at=at + turn))
        history += [assistant(f"a{turn}"), user(f"u{turn}")]
    return found


async def test_equal_conversations_one_after_the_other_are_each_whole(tmp_path: Path) -> None:
    plays = [one for start in (0, 8, 16) for one in turns(8, start)]
    await closed(recorder(tmp_path), *plays)
    found = list(read_episodes(tmp_path))
    assert [(len(e.messages), len(e.ledger)) for e in found] == [(16, 8)] * 3


@pytest.mark.parametrize("gap", [0.0, 5.0, 60.0])
async def test_equal_beginnings_are_the_conversations_that_go_on(tmp_path: Path, gap: float) -> None:
    (first, second), (again, also), (last, _) = (turns(2, start * gap) for start in range(3))
    await closed(recorder(tmp_path), first, again, last, second, also)
    found = sorted(len(e.ledger) for e in read_episodes(tmp_path))
    assert found == ([2, 3] if gap == 5.0 else [1, 2, 2]), "5 s after an answer it may be a retry"


async def test_equal_conversations_of_two_models_are_kept_apart(tmp_path: Path) -> None:
    """One question to two models at once, as a comparison asks it; a conversation may still go on with another one."""
    history = [user("Hi"), assistant("a0"), user("On")]
    asked = [exchange(history[:1], assistant("a0"), at=at, model=name) for at, name in enumerate("xy")]
    alone = [exchange([user("Yo")], assistant("a0"), at=at, model=name) for at, name in enumerate("xy")]
    on = [exchange(history, assistant("a1"), at=3, model=name) for name in "xy"]
    other = exchange([*history, assistant("a1"), user("End")], assistant("a2"), at=4, model="z")
    await closed(recorder(tmp_path), *asked, *alone, *on, other)
    found = [(e.backbone, [row.model for row in e.ledger]) for e in read_episodes(tmp_path)]
    assert sorted(found) == [("x", ["x"]), ("x", ["x", "x"]), ("y", ["y"]), ("z", ["y", "y", "z"])]


async def test_a_retry_goes_to_its_own_model_where_another_one_is_a_request_behind(tmp_path: Path) -> None:
    """The retry took the conversation of the slower model, which had yet to be asked the same."""
    history = [user("Hi"), assistant("a0"), user("On")]
    opened = [exchange(history[:1], assistant("a0"), at=at, model=name) for at, name in enumerate("xy")]
    on = [exchange(history, assistant("a1"), at=at, model=name) for at, name in ((3, "x"), (5, "x"), (6, "y"))]
    await closed(recorder(tmp_path), *opened, *on)
    found = [(e.backbone, [row.model for row in e.ledger]) for e in read_episodes(tmp_path)]
    assert sorted(found) == [("x", ["x", "x", "x"]), ("y", ["y", "y"])]


async def test_a_retry_is_no_conversation_and_keeps_none_open(tmp_path: Path) -> None:
    first, second, third = turns(3, 0)
    begun, on, end = turns(3, 0, "?")
    opening, later = turns(1, 1)[0], turns(2, 1, "?")[1]
    await closed(recorder(tmp_path / "a"), first, opening, second, third, begun, on, later, end)
    found = sorted((e.messages[0].content, len(e.messages), len(e.ledger)) for e in read_episodes(tmp_path / "a"))
    assert found == [("Hi", 6, 4), ("Hi?", 6, 4)], "a retry costs, too"
    assert not list((tmp_path / "a" / "open").iterdir())
    clock = Clock()
    one = recorder(tmp_path / "b", clock, idle_seconds=100)
    async with one.sweeping():
        for minute in range(50):
            clock.now = minute * 60.0
            await one.record(exchange([user("ping")], assistant("pong"), at=clock.now))
            await one.finish()
            assert len(one) <= 2
    assert [len(e.ledger) for e in read_episodes(tmp_path / "b")] == [1] * 50


async def test_an_equal_reply_comes_before_one_that_it_begins_with(tmp_path: Path) -> None:
    longer = "Yes. But first, your name?"
    await closed(
        recorder(tmp_path),
        exchange([user("q")], assistant(longer)),
        exchange([user("q")], assistant("Yes.")),
        exchange([user("q"), assistant(longer), user("Ann")], assistant("Hi Ann.")),
        exchange([user("q"), assistant("Yes."), user("Fine")], assistant("Bye.")),
    )
    assert texts(tmp_path) == [["q", "Yes.", "Fine", "Bye."], ["q", longer, "Ann", "Hi Ann."]]


@pytest.mark.parametrize("arguments", ["", " ", "null", "{ }", "{\n}"])
async def test_a_call_without_arguments_is_known_again(tmp_path: Path, arguments: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    echo = {**call, "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    again = exchange([user("q")], assistant(None, tool_calls=[{**call, "id": "c2"}]), at=1.0)
    await closed(
        recorder(tmp_path),
        exchange([user("q")], assistant(None, tool_calls=[call])),
        again,
        exchange([user("q"), assistant(None, tool_calls=[echo]), result], assistant("Done.")),
    )
    assert texts(tmp_path) == [["q", None, "ok", "Done."]]


async def test_a_decision_is_of_its_turn_where_earlier_ones_are_not_recorded(tmp_path: Path, advisor: Advisor) -> None:
    """Of a branch the decisions from it on are recorded, and of an advice that failed none."""
    history = [user("Hi"), assistant("Hello!"), user("A"), assistant("a"), user("B")]
    one = replace(exchange(history, assistant("b")), advice=advisor.advise(history))
    await closed(recorder(tmp_path), one)
    (episode,) = read_episodes(tmp_path)
    state = state_at(episode, 0)
    assert (len(state.messages), state.turn, [decision.turn for decision in episode.decisions]) == (5, 2, [2])


async def test_a_greeting_before_the_user_is_no_decision(tmp_path: Path, advisor: Advisor) -> None:
    history, found = [{"role": "system", "content": "P"}, assistant("How can I help?"), user("Hi")], []
    for turn in range(2):
        one = exchange([*history], assistant(f"a{turn}"))
        found.append(replace(one, advice=advisor.advise(history)))
        history += [assistant(f"a{turn}"), user(f"u{turn}")]
    await closed(recorder(tmp_path), *found)
    (episode,) = read_episodes(tmp_path)
    assert [(d.turn, d.message_index) for d in episode.decisions] == [(0, 3), (1, 5)]
    assert [row.turn for row in episode.ledger if row.role == "agent"] == [0, 1]
    assert [m.content for m in state_at(episode, 1).messages] == ["How can I help?", "Hi", "a0", "u0"]


@pytest.mark.parametrize("other", [{"type": "custom", "custom": {"name": "sql"}}, {"type": "web_search"}])
async def test_tools_that_are_no_functions_are_left_out(
    tmp_path: Path, advisor: Advisor, other: dict[str, Any]
) -> None:
    one = exchange([user("Hi")], assistant("a"))
    one.body["tools"] = [other, TOOL]
    advice = advisor.advise(one.body["messages"], one.body["tools"])
    await closed(recorder(tmp_path), one)
    (episode,) = read_episodes(tmp_path)
    assert [tool.name for tool in advice.tools] == [tool.name for tool in episode.tools] == ["find_order"]
    assert advice.text == "Alpha speaks."


async def test_functions_of_the_older_form_are_tools(tmp_path: Path, advisor: Advisor) -> None:
    up = ScriptedUpstream()
    older = {"functions": [TOOL["function"]], "messages": [user("Hi")], "model": "m"}
    with plain(up.app) as address, endpoint(address, advisor, record={"folder": tmp_path}) as served:
        httpx.post(f"{served.base_url}/chat/completions", json=older)
    assert up.asked[0]["functions"] == older["functions"] and "tools" not in up.asked[0]
    await closed(recorder(tmp_path / "failed"), Exchange(older, completion(), None, 0.0, 0.5))
    for folder in (tmp_path, tmp_path / "failed"):
        (episode,) = read_episodes(folder)
        assert [tool.name for tool in episode.tools] == ["find_order"]


@pytest.mark.parametrize(
    ("reply", "echo"),
    [
        ({"refusal": "I cannot."}, {"content": None}),
        ({"refusal": "I cannot."}, {"content": ""}),
        ({"audio": {"id": "a1", "transcript": "I cannot."}}, {"audio": {"id": "a1"}}),
    ],
)
async def test_what_a_client_does_not_keep_of_a_reply_splits_no_conversation(
    tmp_path: Path, reply: Message, echo: Message
) -> None:
    on = [user("q"), {"role": "assistant", **echo}, user("Why?")]
    further = [*on, assistant("So."), user("Oh.")]
    await closed(
        recorder(tmp_path),
        exchange([user("q")], assistant(None, **reply)),
        exchange(on, assistant("So.")),
        exchange(further, assistant("Bye.")),
    )
    assert texts(tmp_path) == [["q", "I cannot.", "Why?", "So.", "Oh.", "Bye."]]


async def test_an_episode_has_all_tools_that_its_conversation_had(tmp_path: Path, advisor: Advisor) -> None:
    """Agents leave the tools away for a last summary, or offer other ones at each step."""
    call = {"id": "c1", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}
    history, found = [user("Hi")], []
    cancel = {"type": "function", "function": {"name": "cancel_order", "parameters": {"type": "object"}}}
    told = {"type": "function", "function": {"name": "find_order", "description": "Finds it."}}
    for offered in ([TOOL], [cancel, told], []):
        one = exchange([*history], assistant(None, tool_calls=[call]))
        one.body["tools"] = offered
        found.append(replace(one, advice=advisor.advise(history, offered) if offered != [TOOL] else None))
        history += [assistant(None, tool_calls=[call]), {"role": "tool", "tool_call_id": "c1", "content": "ok"}]
    await closed(recorder(tmp_path), *found)
    (episode,) = read_episodes(tmp_path)
    assert [(tool.name, tool.description) for tool in episode.tools] == [
        ("find_order", "Finds it."),
        ("cancel_order", ""),
    ]
    assert [len(decision.notes) for decision in episode.decisions] == [1, 1]


@pytest.mark.parametrize(("words", "output"), [("Hello!", None), (None, 0)])
async def test_tokens_that_cannot_be_true_are_unknown(tmp_path: Path, words: str | None, output: int | None) -> None:
    one = exchange([user("Hi")], assistant(words))
    one.reply["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    await closed(recorder(tmp_path), one)
    (episode,) = read_episodes(tmp_path)
    assert [(row.input_tokens, row.output_tokens) for row in episode.ledger] == [(None, output)]


async def test_silent_and_surplus_conversations_are_closed(tmp_path: Path) -> None:
    clock = Clock()
    one = recorder(tmp_path, clock, idle_seconds=10, open=2)
    async with one.sweeping():
        for name in "abc":
            await one.record(exchange([user(name)], assistant(name)))
        assert texts(tmp_path) == [["a", "a"]] and len(one) == 2
        clock.now = 11
        await one.finish()
        assert texts(tmp_path) == [["a", "a"], ["b", "b"], ["c", "c"]] and len(one) == 0
    assert not list((tmp_path / "open").iterdir())


async def test_a_conversation_that_goes_on_after_a_pause_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    one = recorder(tmp_path, clock, idle_seconds=10, open=2)
    first, second, third, fourth = turns(4, at=0.0)
    async with one.sweeping():
        for number, exchanged in enumerate(((first, second), (third,), (fourth,))):
            for each in exchanged:
                await one.record(each)
            await one.record(exchange([user(f"another {number}")], assistant('"continues":"x"')))
            clock.now += 11
            await one.finish()
            assert len(one) == 0
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    parts = [line for line in lines if line["messages"][0]["content"] == "Hi"]
    assert [len(part["messages"]) for part in parts] == [4, 6, 8] and len(lines) == 6
    assert [part["source"].get("continues") for part in parts] == [None, parts[0]["id"], parts[1]["id"]]
    *others, whole = sorted(read_episodes(tmp_path), key=lambda episode: len(episode.messages))
    assert whole.id == parts[2]["id"] and len(whole.ledger) == 4, "with what all of it cost"
    assert [len(other.messages) for other in others] == [2, 2, 2]
    assert main(["score", str(tmp_path), "--json"]) in (0, 1) and len(json.loads(capsys.readouterr().out)) > 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert "2 conversations went on after a pause; the episodes that end before it are left out" in told


async def test_a_closed_conversation_that_is_not_there_any_more_begins_anew(tmp_path: Path) -> None:
    clock = Clock()
    one = recorder(tmp_path, clock, idle_seconds=10, open=1)
    first, second = turns(2, at=0.0)
    async with one.sweeping():
        await one.record(first)
        clock.now += 11
        await one.finish()
        (tmp_path / "episodes.jsonl").unlink()
        await one.record(second)
    (episode,) = read_episodes(tmp_path)
    assert episode.source.continues is None and len(episode.messages) == 4
    assert len(one._over) == 1, "no more than may be open"


async def test_a_killed_server_loses_nothing_that_was_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = recorder(tmp_path)
    await killed.record(exchange([user("a")], assistant("b")))
    await killed.record(exchange([user("c")], assistant("d")))
    with pytest.raises(BadInput, match="another process writes here"):
        recorder(tmp_path)
    killed._folder.release()  # as the system does for a dead process
    written = next(iter(sorted((tmp_path / "open").glob("*.json"))))
    (tmp_path / "episodes.jsonl").write_bytes(written.read_bytes())  # killed between the two files
    (tmp_path / "open" / "torn.json").write_text('{"id": ')
    await closed(recorder(tmp_path))
    assert texts(tmp_path) == [["a", "b"], ["c", "d"]] and not list((tmp_path / "open").iterdir())
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "1 open conversations cannot be read and are dropped"
    ]


async def test_records_of_other_settings_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A router that is trained again has the name of the one before it."""
    router = tmp_path / "router"
    shutil.copytree(ROOT / "checkpoints/helpdesk-linear", router)
    settings = ServeSettings(router=str(router), upstream="http://127.0.0.1:9/v1")
    hashes = [advice_hash(settings), advice_hash(settings.model_copy(update={"port": 1, "upstream": "http://x/v1"}))]
    (router / "README.md").write_text("Described anew.")
    assert advice_hash(settings) == hashes[0]
    (router / "work").mkdir()
    (router / "work" / "log.json").write_text("{}")
    assert advice_hash(settings) == hashes[0], "the work of training is no part of a router"
    (router / "router.json").write_text("Trained again.")
    hashes += [advice_hash(settings), advice_hash(settings.model_copy(update={"price": 0.5}))]
    assert hashes[0] == hashes[1] and len({*hashes}) == 3
    models = ({"name": "m"}, {"name": "m", "temperature": 1}, {"name": "m", "extra_body": {"top_k": 5}})
    asking = [settings.model_copy(update={"model": ModelSettings.model_validate(model)}) for model in models]
    assert len({*hashes, *map(advice_hash, asking)}) == 6, "what is asked of helpers' models shapes advice"
    moved = ModelSettings(name="m", base_url="http://127.0.0.1:9/v1", retries=0)
    assert advice_hash(settings.model_copy(update={"model": moved})) == advice_hash(asking[0])
    for number, hashed in enumerate(hashes[1:3]):
        one = ConversationRecorder(
            RecordSettings(), tmp_path / "log", "learned", Metrics(), Clock(), config_hash=hashed
        )
        await closed(one, exchange([user(f"{number}")], assistant("b")))
    assert [episode.config_hash for episode in read_episodes(tmp_path / "log")] == hashes[1:3]
    assert main(["score", str(tmp_path / "log")]) == 0
    assert capsys.readouterr().out.count("learned") == 2


async def test_files_are_renamed_and_the_oldest_deleted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = recorder(tmp_path, open=1, file_bytes=65_536, total_bytes=140_000)
    async with one.sweeping():
        for number in range(10):
            await one.record(exchange([user(f"{number}")], assistant("x" * 30_000)))
    files = sorted(path.name for path in tmp_path.glob("episodes*.jsonl"))
    assert len(files) > 1 and "episodes.jsonl" in files and "episodes-000001.jsonl" not in files
    assert sum(path.stat().st_size for path in tmp_path.glob("episodes*.jsonl")) <= 140_000
    assert main(["score", str(tmp_path / files[0])]) == 0
    newest = [e.messages[0].content or "" for name in files for e in read_episodes(tmp_path / name)]
    assert newest == sorted(newest) and newest[-1] == "9" and not caplog.records
    latest = [e.messages[0].content for e in read_episodes(tmp_path)]
    assert 0 < len(latest) < len(newest) and latest == newest[-len(latest) :]
    (told,) = caplog.records
    assert f"only episodes.jsonl is read; give {files[0]} by name" in told.getMessage()


async def test_hooks_see_everything_before_the_disk(tmp_path: Path) -> None:
    one = recorder(tmp_path, hook=f"{HOOKS}:redact")
    async with one.sweeping():
        await one.record(exchange([user("I am Ann")], assistant("Hi Ann")))
        await one.record(exchange([user("I am Ann"), assistant("Hi Ann"), user("more")], assistant("ok")))
        await one.record(exchange([user("fine")], assistant("ok")))
        await one.record(exchange([user("fine"), assistant("ok"), user("secret")], assistant("ok")))
        assert not [
            path for path in tmp_path.rglob("*.json") if "Ann" in path.read_text() or "fine" in path.read_text()
        ]
    assert texts(tmp_path) == [["I am ***", "Hi ***", "more", "ok"]]
    metrics = Metrics()
    faulty = ConversationRecorder(RecordSettings(hook=f"{HOOKS}:fail"), tmp_path / "b", "all", metrics)
    await closed(faulty, exchange([user("a")], assistant("b")))
    assert not list((tmp_path / "b" / "open").iterdir()) and not (tmp_path / "b" / "episodes.jsonl").exists()
    assert 'fama_record_failures_total{error="RuntimeError"} 1.0' in metrics.text().decode()
    for name in ("nowhere:f", "json:nothing", "unknown", ":"):
        with pytest.raises(BadInput):
            recorder(tmp_path / "c", hook=name)


async def test_a_conversation_that_is_over_gets_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    written = "def close(episode):\n    return verdict(episode) if len(episode.messages) > 2 else None\n"
    (tmp_path / "own_hook.py").write_text(f"from {HOOKS} import verdict\n\n\n{written}")
    first, on = exchange([user("a")], assistant("b")), exchange([user("a"), assistant("b"), user("c")], assistant("d"))
    one = recorder(tmp_path / "a", closing_hook="own_hook:close")
    async with one.sweeping():
        for each in (first, on, exchange([user("short")], assistant("b"))):
            await one.record(each)
        assert all('"error"' in path.read_text() for path in (tmp_path / "a" / "open").glob("*.json"))
    (episode,) = read_episodes(tmp_path / "a")
    assert episode.outcome.status == "failure" and len(episode.messages) == 4
    metrics = Metrics()
    killed = ConversationRecorder(RecordSettings(), tmp_path / "b", "all", metrics)
    await killed.record(first)
    killed._folder.release()
    faulty = RecordSettings(closing_hook=f"{HOOKS}:fail")
    await closed(ConversationRecorder(faulty, tmp_path / "b", "all", metrics))
    assert texts(tmp_path / "b") == [["a", "b"]], "closed at the next start, as it was"
    assert 'fama_record_failures_total{error="RuntimeError"} 1.0' in metrics.text().decode()
    with pytest.raises(BadInput, match="record.closing_hook"):
        recorder(tmp_path / "c", closing_hook="own_hook:nothing")


async def test_a_full_disk_loses_no_earlier_answer(tmp_path: Path) -> None:
    one, soft = recorder(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    async with one.sweeping():
        await one.record(exchange([user("a")], assistant("b")))
        more = [user("a"), assistant("b"), user("c" * 5000)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, soft[1]))
        try:
            await one.record(exchange(more, assistant("d")))
            assert len(list((tmp_path / "open").iterdir())) == 1, "no part of what did not fit is left"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, soft)
        await one.record(exchange(more, assistant("again")))
    assert 'error="OSError"} 1.0' in one._metrics.text().decode()
    assert texts(tmp_path) == [["a", "b", "c" * 5000, "again"]]


@pytest.fixture(scope="module")
def advisor() -> Iterator[Advisor]:
    with speaking() as one:
        yield one


def test_recording_that_is_behind_slows_requests_and_refuses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, waiting = 0, 0
    taken = ConversationRecorder._take

    def slowly(self: ConversationRecorder, exchange: Exchange) -> None:
        time.sleep(0.3)
        taken(self, exchange)

    async def counted(self: ConversationRecorder, exchange: Exchange) -> None:
        nonlocal most, waiting
        waiting += 1
        most = max(most, waiting)
        await self._run(lambda: slowly(self, exchange))
        waiting -= 1

    monkeypatch.setattr(ConversationRecorder, "record", counted)
    settings: dict[str, Any] = {"record": {"folder": tmp_path}, "limits": {"in_flight": 2}}
    with plain(ScriptedUpstream().app) as address, speaking() as advisor, endpoint(address, advisor, **settings) as one:
        with httpx.Client(base_url=one.base_url) as client:
            bodies = [{"model": "m", "messages": [user(f"Hello {number}.")]} for number in range(6)]
            answers = [client.post("/chat/completions", json=body).status_code for body in bodies]
    assert answers == [200] * 6 and most == 2
    assert len(list(read_episodes(tmp_path))) == 6


def talk(client: openai.OpenAI, up: ScriptedUpstream, stream: bool, turns: int, start: str) -> list[Message]:
    """A client's loop with a tool; returns its history."""
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "find_order", "arguments": '{"id": "W1"}'}}
    history: list[Any] = [{"role": "system", "content": "Help."}, user(start)]
    for turn in range(turns):
        calling, words = turn == 0, f"Reply {turn}."
        whole = completion(None if calling else words, **({"tool_calls": [call]} if calling else {}))
        pieces = (
            [chunk(role="assistant", tool_calls=[call]), chunk(finish="tool_calls"), DONE] if calling else spoken(words)
        )
        up.answer = lambda asked, whole=whole, pieces=pieces: pieces if asked.get("stream") else whole  # type: ignore[misc]
        tools: Any = [TOOL]
        if stream:
            with client.chat.completions.stream(model="m", messages=history, tools=tools) as events:
                events.until_done()
                message: Any = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(model="m", messages=history, tools=tools).choices[0].message
        history.append(message.model_dump(exclude_none=True))
        history.append({"role": "tool", "tool_call_id": "c1", "content": "{}"} if calling else user(f"Next {turn}"))
    return history


def test_served_conversations_are_diagnosed(tmp_path: Path, advisor: Advisor) -> None:
    up = ScriptedUpstream()
    settings = {"folder": str(tmp_path), "hook": f"{HOOKS}:verdict"}
    with plain(up.app) as address, endpoint(address, advisor, record=settings) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            for stream, start in ((False, "Where is W1?"), (True, "Where is W2?")):
                history = talk(client, up, stream, 3, start)
                assert "Alpha speaks" not in json.dumps(history)
                assert "Alpha speaks" in json.dumps(up.asked[-1])
    episodes = {episode.messages[1].content: episode for episode in read_episodes(tmp_path)}
    assert set(episodes) == {"Where is W1?", "Where is W2?"}
    for episode in episodes.values():
        assert [m.role for m in episode.messages] == [
            "system",
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
            "assistant",
        ]
        assert "Alpha speaks" not in "".join(message.content or "" for message in episode.messages)
        assert [(d.turn, d.message_index, d.subset) for d in episode.decisions] == [
            (turn, index, ("Alpha",)) for turn, index in ((0, 2), (1, 4), (2, 6))
        ]
        assert episode.decisions[0].notes[0].text == "Alpha speaks." and episode.tools[0].name == "find_order"
        assert [row.role for row in episode.ledger] == ["helper:Alpha", "agent"] * 3
    whole, streamed = episodes["Where is W1?"].ledger[1], episodes["Where is W2?"].ledger[1]
    assert (whole.input_tokens, whole.output_tokens) == (11, 3)
    assert streamed.input_tokens is None, "unknown where no server reported it"
    out = tmp_path / "labels"
    assert main(["diagnose", str(tmp_path), "--judge", "none", "--out", str(out)]) == 0
    labels = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {label["episode_id"] for label in labels} == {episode.id for episode in episodes.values()}
    assert main(["score", str(tmp_path)]) == 0


async def test_long_messages_are_recorded_cut_and_the_conversation_goes_on(tmp_path: Path) -> None:
    long = assistant("y" * 5000)
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": json.dumps({"q": "z" * 5000})}}
    first = exchange([user("x" * 5000)], long)
    second = exchange([user("x" * 5000), long, user("and?")], assistant(None, tool_calls=[call]))
    await closed(recorder(tmp_path, message_chars=1000), first, second)
    (episode,) = read_episodes(tmp_path)
    mark = "… [4,000 characters cut]"
    told = [message.content for message in episode.messages[:3]]
    assert told == ["x" * 1000 + mark, "y" * 1000 + mark, "and?"]
    assert episode.messages[3].tool_calls is not None
    assert episode.messages[3].tool_calls[0].function.parsed() == {"q": "z" * 1000 + mark}


@pytest.mark.parametrize("more", [{"error": {"message": "died", "code": 500}}, {"choices": []}])
def test_a_reply_that_says_that_the_server_failed_is_counted_and_not_recorded(
    tmp_path: Path, advisor: Advisor, more: dict[str, Any]
) -> None:
    up = ScriptedUpstream()
    up.answer = lambda asked: {**completion("Half an ans"), **more}
    with plain(up.app) as address, endpoint(address, advisor, record={"folder": str(tmp_path / "rec")}) as here:
        body = {"model": "m", "messages": [user("Hi")]}
        answer = httpx.post(f"{here.base_url}/chat/completions", json=body, trust_env=False)
        assert answer.status_code == 200 and more.items() <= answer.json().items()
        until = time.monotonic() + 10
        while not here.count("fama_record_failures_total") and time.monotonic() < until:
            time.sleep(0.01)
        assert here.count("fama_record_failures_total") == 1
    assert not list((tmp_path / "rec").rglob("*.json*"))
