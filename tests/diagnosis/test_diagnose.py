"""The stage as a whole: files, resume, summary, the command and its errors."""

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import fama
from fama import __version__
from fama.cli import main
from fama.diagnosis.diagnose import Labelled, diagnose, diagnose_episode, spent_on_labels
from fama.diagnosis.ray_jobs import DiagnosisRecipe
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode, Evidence, LedgerRow, Outcome
from fama.episodes.store import EpisodeStore, read_failures
from fama.errors import BadInput, ModelError
from fama.execution.host import Host
from fama.execution.jobs import WorkerLost
from fama.models.base import CallFailed, ChatReply, ChatRequest
from fama.models.scripted import ECHO, ScriptedModel
from fama.settings import ModelSettings
from tests.support.diagnosis_cases import RETURN, agent, call, episode, gold, identified, user
from tests.support.fake_endpoint import Answer, Endpoint, said

ACTIONS = (gold(RETURN, order_id="#W100", item_ids=["4001"]),)
MISSING = episode(identified(), agent("Bye"), user("Bye"), actions=ACTIONS, name="missing")
FORBIDDEN = episode(identified(), call(RETURN, "ok", order_id="#W100", item_ids=["4001"]), actions=(), name="forbidden")
SUCCESS = episode(user("hi"), status="success", name="fine")
CRASH = episode(user("hi"), name="crash").model_copy(
    update={"outcome": Outcome(status="error", boundary="model", reason="x")}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = EpisodeStore(tmp_path / "run")
    for item in (MISSING, SUCCESS, CRASH, FORBIDDEN):
        store.append(item)
    return store.folder


async def test_only_failures_are_labelled(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = await diagnose(folder, out)
    labels = read_failures(out)
    assert [(label.episode_id, label.primary, label.step) for label in labels] == [
        ("missing", ("IFU",), 5),
        ("forbidden", ("DCV",), 5),
    ]
    assert all(label.labeller == "detectors" and label.evidence for label in labels)
    assert {str(label.key) for label in labels} == {f"tau-bench/retail/{label.task_id}" for label in labels}
    assert (summary.successes_skipped, summary.errors_skipped, summary.failures) == (1, 1, 2)
    assert summary.profile == {"m × tau-bench/retail × fc": {"n": 2, "IFU": 1, "DCV": 1}}
    assert json.loads((out / "summary.json").read_text())["failures"] == 2


async def test_it_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await diagnose(folder, out)
    path = out / "failures.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])  # the last line is torn
    summary = await diagnose(folder, out)
    assert path.read_bytes() == whole and summary.labelled_now == 1
    assert (await diagnose(folder, out)).labelled_now == 0


async def test_labels_of_another_labeller_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    await diagnose(folder, tmp_path / "out")
    with pytest.raises(BadInput, match="labels by detectors"):
        await diagnose(folder, tmp_path / "out", ScriptedModel("j", lambda _: "x"))


async def test_labels_under_an_edited_taxonomy_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    """A user edits the file and runs the same line again: the labels of before would stand unseen."""
    mine = load_taxonomy()
    await diagnose(folder, tmp_path / "out", taxonomy=mine)
    first, *rest = mine.categories
    moved = mine.model_copy(update={"categories": (first.model_copy(update={"sources": ("end:*",)}), *rest)})
    with pytest.raises(BadInput, match=r"labelled under fama-4/1 with other content; change its version"):
        await diagnose(folder, tmp_path / "out", taxonomy=moved)
    helped = mine.model_copy(update={"categories": (first.model_copy(update={"helpers": ("DCE",)}), *rest)})
    assert (await diagnose(folder, tmp_path / "out", taxonomy=helped)).labelled_now == 0, "labels do not depend on them"


async def test_labels_that_were_broken_off_are_not_gone_on_with_under_an_edited_taxonomy(
    folder: Path, tmp_path: Path
) -> None:
    """A judge takes hours, and who breaks it off to mend the taxonomy runs the same line again."""

    def broken_off(*_: object) -> None:
        raise OSError

    mine = load_taxonomy()
    with pytest.raises(OSError):
        await diagnose(folder, tmp_path / "out", taxonomy=mine, progress=broken_off)
    assert len(read_failures(tmp_path / "out")) == 1
    first, *rest = mine.categories
    moved = mine.model_copy(update={"categories": (first.model_copy(update={"sources": ("end:*",)}), *rest)})
    with pytest.raises(BadInput, match="with other content"):
        await diagnose(folder, tmp_path / "out", taxonomy=moved)
    assert (await diagnose(folder, tmp_path / "out", taxonomy=mine)).failures == 2


async def test_what_older_labels_were_made_with_stays_unknown(folder: Path, tmp_path: Path) -> None:
    """A summary of before these were kept, or none: what is asked today says nothing of labels that are there."""
    judge, out = ScriptedModel("j", lambda _: "no idea"), tmp_path / "out"
    now = await diagnose(folder, out, judge=judge)
    assert now.asked is not None and now.taxonomy_hash is not None
    assert (await diagnose(folder, out, judge=judge)).asked == now.asked
    told = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(told | {"asked": None, "taxonomy_hash": None}))
    for _ in range(2):
        again = await diagnose(folder, out, judge=judge)
        assert (again.failures, again.asked, again.taxonomy_hash) == (2, None, None)
    (out / "summary.json").unlink()
    assert (await diagnose(folder, out, judge=judge)).asked is None


async def test_labels_without_repairs_do_not_pass_for_labels_with_them(folder: Path, tmp_path: Path) -> None:
    await diagnose(folder, tmp_path / "out")
    shown = {"missing": Evidence(source="executed:repair", category="CM", step=2, quote="with 1 note")}
    with pytest.raises(BadInput, match=r"labelled without these repairs; give another --out"):
        await diagnose(folder, tmp_path / "out", executed=shown)
    await diagnose(folder, tmp_path / "other", executed=shown)
    assert (await diagnose(folder, tmp_path / "other", executed=shown)).labelled_now == 0


async def test_a_diagnosis_into_the_runs_folder_leaves_the_runs_summary(folder: Path) -> None:
    (folder / "summary.json").write_text("of the run")
    await diagnose(folder, folder)
    assert (folder / "summary.json").read_text() == "of the run"
    assert json.loads((folder / "diagnosis.json").read_text())["failures"] == 2
    assert spent_on_labels(folder)[1].tokens == 0


async def test_a_judges_nonsense_is_counted_and_billed(folder: Path, tmp_path: Path) -> None:
    summary = await diagnose(folder, tmp_path / "out", ScriptedModel("j", lambda _: "no idea"))
    assert summary.calls == summary.unparsed == 2 * (4 + 1) * 2
    assert set(summary.tokens) == {"analyst", "orchestrator"} and all(summary.tokens.values())
    labels = read_failures(tmp_path / "out")
    assert [label.primary for label in labels] == [("IFU",), ("DCV",)]
    assert labels[0].labeller == "judge:j+evidence"


def _judge(request: ChatRequest) -> str:
    text = str(request.messages[-1]["content"])
    if request.role == "analyst":
        return json.dumps({"reason": "seen", "present": "hallucination:" in text, "step": 4})
    return json.dumps({"primary": ["CM"], "step": 4, "blame": "agent", "rationale": "It guessed."})


async def test_a_judge_without_evidence(folder: Path) -> None:
    label, ledger = await diagnose_episode(MISSING, ScriptedModel("j", _judge), load_taxonomy(), use_evidence=False)
    assert label.primary == ("CM",) and label.labeller == "judge:j" and label.step == 4
    assert [item.source for item in label.evidence] == ["analyst:CM"]
    assert [row.role for row in ledger] == ["analyst"] * 4 + ["orchestrator"]
    assert label.confidence == 1.0


async def test_a_silent_judge_leaves_the_failure_for_the_next_run(folder: Path, tmp_path: Path) -> None:
    calls = 0

    def flaky(request: ChatRequest) -> str | ChatReply:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ModelError("connection refused")
        return _judge(request)

    summary = await diagnose(folder, tmp_path / "out", ScriptedModel("j", flaky))
    assert [item.episode_id for item in summary.judge_errors] == ["missing"]
    summary = await diagnose(folder, tmp_path / "out", ScriptedModel("j", _judge))
    assert summary.failures == 2 and not summary.judge_errors and summary.calls == 10

    def dead(request: ChatRequest) -> str:
        raise ModelError("connection refused")

    with pytest.raises(ModelError, match="any of 2 failures"):
        await diagnose(folder, tmp_path / "other", ScriptedModel("j", dead))


@pytest.mark.parametrize("failing", range(5))
async def test_what_was_spent_on_a_failure_without_a_label_counts(failing: int, folder: Path, tmp_path: Path) -> None:
    """The analysts that had answered, and the call that failed after it was billed."""
    calls = 0
    spent = LedgerRow(role="judge", model="j", input_tokens=100, output_tokens=1)

    def flaky(request: ChatRequest) -> str:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise CallFailed("not usable", (spent,))
        return _judge(request)

    summary = await diagnose(folder, tmp_path / "out", ScriptedModel("j", flaky))
    assert [item.episode_id for item in summary.judge_errors] == ["missing"]
    assert summary.calls == failing + 1 + 5 and summary.tokens["judge"] == 101
    summary = await diagnose(folder, tmp_path / "out", ScriptedModel("j", _judge))
    assert summary.failures == 2 and summary.calls == failing + 1 + 5 + 5


async def test_several_judged_at_once_give_the_same_labels(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "run")
    for number in range(8):
        store.append((MISSING, FORBIDDEN)[number % 2].model_copy(update={"id": f"e{number}"}))
    store.append(MISSING.model_copy(update={"id": "e0"}))  # a second time in the same log
    under_way = most = 0

    class Slow(ScriptedModel):
        async def complete(self, request: ChatRequest) -> ChatReply:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            return await super().complete(request)

    for concurrency in (1, 3):
        most = 0
        out = tmp_path / f"out{concurrency}"
        summary = await diagnose(store.folder, out, Slow("j", _judge), concurrency=concurrency)
        assert (summary.failures, summary.calls, most) == (8, 40, concurrency)
    one, three = ({label.episode_id: label for label in read_failures(tmp_path / f"out{n}")} for n in (1, 3))
    assert one == three


async def test_labels_made_elsewhere_are_written_here_and_a_lost_worker_leaves_one(
    folder: Path, tmp_path: Path
) -> None:
    recipe = pickle.loads(pickle.dumps(DiagnosisRecipe(ModelSettings(name="scripted:echo"), load_taxonomy())))  # noqa: S301
    host = Host()

    async def elsewhere(episode: Episode) -> Labelled:
        if episode.id == "forbidden":
            raise WorkerLost("its worker died")
        return await asyncio.to_thread(host.do, "run", __version__, recipe, episode)

    summary = await diagnose(folder, tmp_path / "there", ECHO, label=elsewhere)
    assert [(item.episode_id, item.reason) for item in summary.judge_errors] == [("forbidden", "its worker died")]
    await diagnose(folder, tmp_path / "here", ECHO)
    here = {label.episode_id: label for label in read_failures(tmp_path / "here")}
    assert read_failures(tmp_path / "there") == [here["missing"]]


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "profile.png"
    command = ["diagnose", str(folder), "--out", str(tmp_path / "out"), "--show", "1", "--figure", str(figure)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "task 7" in text and "gold:missing" in text and text.count("  primary ") == 1
    assert "1 50%" in text and "95 % over tasks" in text and figure.read_bytes().startswith(b"\x89PNG")
    assert "2 failures labelled by detectors" in text and "1 successes, 1 errors" in text


def test_the_command_with_a_scripted_judge(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(folder), "--out", str(tmp_path / "out"), "--judge", "scripted:echo"]) == 0
    told = capsys.readouterr().out
    assert "20 calls, 20 of them unparsed" in told
    assert "judge:scripted:echo+evidence was never measured on read failures; do so with" in told
    assert "a judge that thinks first needs more --judge-tokens" in told


def test_a_judge_that_thinks_and_refuses_temperature_0(
    folder: Path, tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: dict[str, Any]) -> Answer:
        if asked["temperature"] != 1:
            return 400, {"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model."}}
        if asked["max_tokens"] < 2000:
            return said(
                "<think> The agent", choices=[{"finish_reason": "length", "message": {"content": "<think> The"}}]
            )
        form = {"primary": ["CM"], "step": 4, "blame": "agent", "rationale": "It guessed."}
        if "primary" not in json.dumps(asked["response_format"]):
            form = {"reason": "seen", "present": True, "step": 4}
        return said("<think> Let me see. </think>" + json.dumps(form))

    endpoint.answer = answer
    asking = ["diagnose", str(folder), "--judge", "served", "--judge-url", endpoint.base_url, "--out"]
    assert main([*asking, str(tmp_path / "cold")]) == 1  # no failure gets a label
    more = ["--judge-temperature", "1", "--judge-tokens", "2000"]
    assert main([*asking, str(tmp_path / "cold"), *more]) == 0, "no label there was given otherwise"
    assert main([*asking, str(tmp_path / "out"), *more]) == 0
    for other in (["--judge-temperature", "1", "--judge-tokens", "2001"], [*more, "--context", "5000"]):
        assert main([*asking, str(tmp_path / "out"), *other]) == 2
    told = capsys.readouterr().err
    assert '"max_tokens": 2000, "temperature": 1.0}, not {"context_tokens": 5000' in told
    named = read_failures(tmp_path / "out")
    assert {label.primary for label in named} == {("CM",)} and {label.step for label in named} == {4}
    given = ["--judge-temperature", "1", "--judge-tokens", "200"]  # as by default of other models, and still given
    main([*asking, str(tmp_path / "few"), *given])
    assert {asked["max_tokens"] for asked in endpoint.asked[-2:]} == {200}
    settings = {"name": "served", "base_url": endpoint.base_url, "temperature": 1, "max_tokens": 2000}
    assert [label.primary for label in fama.diagnose(folder, judge=settings)] == [("CM",)] * 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["missing-folder"], "does not exist"),
        (["{folder}", "--no-evidence"], "--judge"),
        (["{folder}", "--taxonomy", "none.yaml"], "none.yaml"),
        (["{folder}", "--context", "10"], "--context"),
        (["{folder}", "--judge", "scripted:nobody"], "nobody"),
        (["{folder}", "--judge", "scripted:echo", "--judge-tokens", "0"], "--judge-tokens 0"),
        (["{folder}", "--judge", "scripted:echo", "--judge-temperature", "nan"], "--judge-temperature nan"),
        (["{folder}", "--concurrency", "0"], "--concurrency 0"),
        (["{folder}", "--executor", "ray", "--judge", "qwen2.5-coder-0.5b"], "ray"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    filled = [argument.format(folder=folder) for argument in arguments]
    assert main(["diagnose", *filled, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "failures.jsonl").exists()


PUZZLE = episode(user("hi"), agent("What?"), user("Never mind"), name="puzzle").model_copy(
    update={"gold_actions": None, "required_outputs": None}
)


def test_failures_without_a_cause_are_a_column_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = EpisodeStore(tmp_path / "run")
    for item in (MISSING, PUZZLE):
        store.append(item)
    assert main(["diagnose", str(store.folder), "--out", str(tmp_path / "out"), "--show", "9"]) == 0
    labels = {label.episode_id: label for label in read_failures(tmp_path / "out")}
    assert labels["puzzle"].unexplained and labels["puzzle"].causes == ("unexplained",)
    assert not labels["missing"].unexplained and labels["missing"].causes == ("IFU",)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["profile"] == {"m × tau-bench/retail × fc": {"n": 2, "IFU": 1, "unexplained": 1}}
    assert summary["without_reference"] == 1
    printed = capsys.readouterr().out
    assert "1 failures have no reference actions: use a judge (--judge NAME) or annotate" in printed
    assert "1 unexplained: no detector found a cause" in printed and "(a guess: unexplained)" in printed
