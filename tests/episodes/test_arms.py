"""Whose an imported episode is: arms, tasks and trials; in doubt apart."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.foreign.file_identity import is_shard, origin, positional
from fama.episodes.store import read_episodes
from tests.support.foreign_logs import SAID, imported, write_json, write_lines


def tau(task: int, reward: float = 1.0, said: str = "Hi") -> dict[str, Any]:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": said}]
    return {"task_id": task, "trial": 0, "reward": reward, "info": {"reward_info": {}}, "traj": turns}


def chat(said: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": said}], "success": True, **fields}


def scores(out: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["score", str(out), "--json", "--bootstrap", "100"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_equal_rows_in_two_seeds_folders_are_two_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        write_json(tmp_path / f"runs/seed{seed}/m_fc_airline.json", [tau(1), tau(2, float(seed))])
    found = imported(tmp_path / "runs", tmp_path / "out")
    assert [(e.task_id, e.trial) for e in found] == [("1", 0), ("2", 0), ("1", 1), ("2", 1)]
    assert len({e.id for e in found}) == 4
    assert "further trials of the arm of seed0/m_fc_airline.json" in capsys.readouterr().out
    assert imported(tmp_path / "runs", tmp_path / "out") == found  # again: nothing new
    (summary,) = scores(tmp_path / "out", capsys)
    assert [p["k"] for p in summary["measures"]["pass_k"]] == [1, 2]


def test_a_file_that_grew_adds_what_is_new_only(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    imported(write_lines(path, [chat("a", task_id=1)]), tmp_path / "out")
    found = imported(write_lines(path, [chat("a", task_id=1), chat("b", task_id=2)]), tmp_path / "out")
    assert [e.task_id for e in found] == ["1", "2"]


def same_as_fresh(tmp_path: Path, *versions: list[Any], name: str = "log.jsonl", before: Path | None = None) -> None:
    """A file that is imported again after each change gives the episodes of one import of its last version."""
    found: list[list[Any]] = []
    for out, shown in (("grown", versions), ("fresh", versions[-1:])):
        if before is not None:
            imported(before, tmp_path / out)
        for rows in shown:
            imported(write_lines(tmp_path / "logs" / name, rows), tmp_path / out)
        assert imported(tmp_path / "logs" / name, tmp_path / out)  # again: nothing new
        stored = read_episodes(tmp_path / out)
        found.append(sorted(((e.key, e.outcome.status, e.messages) for e in stored), key=lambda one: one[0]))
    assert found[0] == found[1] and len({key for key, _, _ in found[0]}) == len(found[0])


@pytest.mark.parametrize("names", [{}, {"model": "m", "domain": "d"}])
def test_a_record_that_was_torn_is_replaced_when_it_is_whole(
    tmp_path: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = [json.dumps(chat(f"{i}", **names)) for i in range(6)]
    same_as_fresh(tmp_path, [*whole[:3], whole[3][:30]], whole[:5], [*whole[:5], whole[5][:9]], whole)
    assert "1 errors replaced by records that can be read now" in capsys.readouterr().out
    assert [e.outcome.status for e in read_episodes(tmp_path / "grown")] == ["success"] * 6


def test_an_error_stays_while_its_record_cannot_be_read(tmp_path: Path) -> None:
    whole = [json.dumps(chat(f"{i}")) for i in range(4)]
    same_as_fresh(tmp_path, [whole[0], "{torn"], [whole[0], "{torn still", *whole[2:]])
    assert [e.outcome.status for e in read_episodes(tmp_path / "grown")].count("error") == 1


def test_an_error_of_a_grown_file_gets_the_arm_of_what_is_stored(tmp_path: Path) -> None:
    whole = [json.dumps(chat(f"{i}", model="m", domain="d")) for i in range(4)]
    same_as_fresh(tmp_path, whole, [*whole, "{torn"])


@pytest.mark.parametrize(
    ("first", "last"), [("A", "AAB"), ("AB", "ABAB"), ("AAB", "AABBA"), ("A", "AB"), ("", "AAB"), ("AB", "ABC")]
)
@pytest.mark.parametrize("other", ["", "AB", "AAB"])
def test_trials_of_a_file_that_grew(tmp_path: Path, first: str, last: str, other: str) -> None:
    """Also where it repeats the tasks of another file."""

    def rows(tasks: str, said: str) -> list[Any]:
        return [chat(f"{said}{i}", task_id=task, model="m", domain="d") for i, task in enumerate(tasks)]

    before = write_lines(tmp_path / "logs/run1.jsonl", rows(other, "o")) if other else None
    versions = [rows(tasks, "g") for tasks in (first, last) if tasks]
    same_as_fresh(tmp_path, *versions, name="run2.jsonl", before=before)


def test_a_shard_that_grew(tmp_path: Path) -> None:
    rows = [chat(f"{i}", task_id=i, model="m", domain="d") for i in range(3)]
    before = write_lines(tmp_path / "logs/part-0.jsonl", [chat("o", task_id=0, model="m", domain="d")])
    same_as_fresh(tmp_path, rows[:1], rows, name="part-1.jsonl", before=before)
    assert {e.task_id for e in read_episodes(tmp_path / "grown")} == {"0", "part-1:0", "part-1:1", "part-1:2"}


def test_equal_rows_of_a_repetition_that_grew_are_known(tmp_path: Path) -> None:
    rows = [chat(f"{i}", task_id=i, model="m", domain="d") for i in range(3)]
    before = write_lines(
        tmp_path / "logs/seed0/log.jsonl", [*rows[:2], chat("other", task_id=2, model="m", domain="d")]
    )
    same_as_fresh(tmp_path, rows[:2], rows, name="seed1/log.jsonl", before=before)
    assert len(list(read_episodes(tmp_path / "grown"))) == 6


def test_a_file_that_grows_into_the_tasks_of_another_keeps_its_trials(tmp_path: Path) -> None:
    """Stored episodes keep their number, so the file's trials are not all moved by one, as in a fresh import."""
    rows = [chat(f"{task}", task_id=task, model="m", domain="d") for task in "AB"]
    imported(
        write_lines(tmp_path / "logs/run1.jsonl", [chat("o", task_id="B", model="m", domain="d")]), tmp_path / "out"
    )
    imported(write_lines(tmp_path / "logs/run2.jsonl", rows[:1]), tmp_path / "out")
    found = imported(write_lines(tmp_path / "logs/run2.jsonl", rows), tmp_path / "out")
    assert [(e.task_id, e.trial) for e in found] == [("B", 0), ("A", 0), ("B", 1)]


def test_an_unreadable_record_of_a_named_task_is_a_trial_of_its_own(tmp_path: Path) -> None:
    rows = [chat("a", task_id=1, model="m", domain="d"), {"task_id": 1, "messages": 7}]
    found = imported(write_lines(tmp_path / "log.jsonl", rows), tmp_path / "out")
    assert [(e.task_id, e.trial, e.outcome.status) for e in found] == [("1", 0, "success"), ("1", 1, "error")]


@pytest.mark.parametrize("said", ["see https://bob:hunter2@host/x?api_key=abc", "sk-a-key-in-use-1234"])
def test_keys_are_not_stored(tmp_path: Path, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-in-use-1234")
    path = write_lines(tmp_path / "log.jsonl", [chat(said, task_id=1), chat(said, task_id=1)])
    found = imported(path, tmp_path / "out")
    text = (tmp_path / "out/episodes.jsonl").read_text(encoding="utf-8")
    assert "***" in text and not any(key in text for key in ("hunter2", "abc", "sk-a-key"))
    assert [e.trial for e in found] == [0, 1] and imported(path, tmp_path / "out") == found


def test_files_that_name_no_backbone_are_arms_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("checks", "plain"):
        write_json(tmp_path / f"runs/{name}.json", [tau(1, said=name), tau(2, said=name)])
    out = tmp_path / "out"
    found = imported(tmp_path / "runs", out)
    assert {e.trial for e in found} == {0} and {e.variant for e in found} == {"file=checks", "file=plain"}
    assert "kept apart: 2 logs do not name backbone" in capsys.readouterr().out
    assert [(s["variant"], s["measures"]["trials"]) for s in scores(out, capsys)] == [
        ("file=checks", 1),
        ("file=plain", 1),
    ]
    assert main(["score", str(out), "--bootstrap", "100"]) == 0
    assert "file=checks" in " ".join(capsys.readouterr().out.split())
    named = imported(tmp_path / "runs", tmp_path / "named", "--backbone", "m", "--domain", "airline")
    assert [e.trial for e in named] == [0, 0, 1, 1]


@pytest.mark.parametrize("fields", [{"model": "m"}, {"domain": "d"}, {}])
def test_unknown_is_not_equal_to_unknown(tmp_path: Path, fields: dict[str, str]) -> None:
    for name in ("a", "b"):
        write_lines(tmp_path / f"runs/{name}.jsonl", [chat(name, task_id=1, **fields)])
    assert [e.trial for e in imported(tmp_path / "runs", tmp_path / "out")] == [0, 0]


@pytest.mark.parametrize("name", ["agent", "user_model", "benchmark_version", "settings"])
def test_what_a_log_says_of_its_run_sets_arms_apart(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values: list[Any] = [{"temperature": 0.0}, {"temperature": 1.0}] if name == "settings" else ["x", "y"]
    for value in values:
        row = chat(str(value), task_id=1, model="m", domain="d", **{name: value})
        write_lines(tmp_path / f"runs/{values.index(value)}.jsonl", [row])
    assert [e.trial for e in imported(tmp_path / "runs", tmp_path / "out")] == [0, 0]
    assert [s["measures"]["trials"] for s in scores(tmp_path / "out", capsys)] == [1, 1]


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_shards_are_no_trials(tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    for shard in range(3):
        rows = [chat(f"{shard} {row}") for row in range(2)]
        write_lines(tmp_path / f"set/train-0000{shard}.{ending}", rows)
    found = imported(tmp_path / "set", tmp_path / "out")
    assert [e.task_id for e in found][:3] == ["train-00000:0", "train-00000:1", "train-00001:0"]
    (summary,) = scores(tmp_path / "out", capsys)
    assert (summary["measures"]["tasks"], summary["measures"]["trials"]) == (6, 1)


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "JSONL"])
def test_ids_that_are_unique_in_a_shard_only(tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    for shard in range(2):
        write_lines(tmp_path / f"set/part-{shard}.{ending}", [chat(f"{shard}", task_id=0, model="m", domain="d")])
    assert [(e.task_id, e.trial) for e in imported(tmp_path / "set", tmp_path / "out")] == [("0", 0), ("part-1:0", 0)]
    assert "those of another shard: kept apart" in capsys.readouterr().out


@pytest.mark.parametrize("order", [("a.jsonl", "a.jsonl.gz"), ("a.jsonl.gz", "a.jsonl")])
def test_a_packed_copy_is_no_trial(tmp_path: Path, order: tuple[str, str]) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"task_id": 1, "messages": SAID, "success": True}])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    paths = [str(tmp_path / name) for name in order]
    assert main(["import", "auto", *paths, "--out", str(tmp_path / "out")]) == 0
    assert [e.trial for e in imported(tmp_path / "a.jsonl.gz", tmp_path / "out")] == [0]


def test_sampling_beside_the_messages_sets_arms_apart(tmp_path: Path) -> None:
    row = {"task_id": 1, "messages": SAID, "success": True, "model": "m", "domain": "d"}
    rows = [{**row, "temperature": 0.0}, {**row, "temperature": 1.0}, {**row, "thinking": "hm"}]
    found = imported(write_lines(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert [(e.settings, e.trial) for e in found] == [("temperature=0.0", 0), ("temperature=1.0", 0), (None, 0)]


@pytest.mark.parametrize("absent", ["null", '""', "NaN", '"None"', '"nan"'])
def test_a_null_task_id_is_none(tmp_path: Path, absent: str) -> None:
    rows = [
        f'{{"task_id": {absent}, "messages": [{{"role": "user", "content": "{i}"}}], "success": true}}' for i in "ab"
    ]
    found = imported(write_lines(tmp_path / "x.jsonl", list(rows)), tmp_path / "out")
    assert [(e.task_id, e.trial) for e in found] == [("x:0", 0), ("x:1", 0)]


def test_a_task_that_a_file_holds_twice_has_two_trials(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [chat("a", task_id=1), chat("b", task_id=1), chat("c", task_id=2)])
    assert [(e.task_id, e.trial) for e in imported(path, tmp_path / "out")] == [("1", 0), ("1", 1), ("2", 0)]


@pytest.mark.parametrize(
    ("name", "backbone", "agent", "more"),
    [
        ("tool-calling-gpt-4o-0.0_range_0-5_user-gpt-4o-llm_01.json", "gpt-4o", None, "user=gpt-4o; temperature=0.0"),
        ("tool-calling-gpt-4o-0.0_range_0-5_user-q-react_01.json", "gpt-4o", None, "user_strategy=react"),
        ("tool-calling-with-preconditions-none-0.1_range_0-9.json", None, "tool-calling-with-preconditions", ""),
        ("assertions-agent-none-0.1_range_0-100_6_18_2025.json", None, "assertions-agent", "temperature=0.1"),
        ("few-shot-m-0.2_range_0-5_01.json", "m", "few-shot", "agent=few-shot"),
        ("gpt-5_fc_confusion_telecom.json", "gpt-5", None, "trait=confusion"),
        ("skeptical_retail.json", None, None, "trait=skeptical"),
    ],
)
def test_names_of_the_harness(tmp_path: Path, name: str, backbone: str | None, agent: str | None, more: str) -> None:
    (episode,) = imported(write_json(tmp_path / name, [tau(1)]), tmp_path / "out", "--domain", "airline")
    assert (episode.backbone, episode.agent) == (backbone, agent)
    assert episode.benchmark == ("tau-trait" if "trait=" in more else "tau-bench")
    assert more in episode.variant and (backbone is not None) == ("file=" not in episode.variant)


@pytest.mark.parametrize(
    ("place", "shard", "arm"),
    [
        ("train-00001.jsonl", True, "train"),
        ("a/data-00001-of-00003.jsonl.gz", True, "a/data"),
        ("part_3.json", True, "parts"),
        ("agent-10.json", False, "agent-10"),
        ("act-m-0.0_range_0-5_0129163955.json", False, "act-m-0.0_range_0-5_0129163955"),
        ("seed_1/run.jsonl", False, "run"),
        ("x/llama_run2.json", False, "x/llama"),
        ("gpt-4.1_trial-3.jsonl", False, "gpt-4.1"),
    ],
)
def test_places(place: str, shard: bool, arm: str) -> None:
    assert (is_shard(place), origin(place)) == (shard, arm)


def test_positions_do_not_depend_on_the_repetition() -> None:
    assert positional("seed1/x.jsonl", 4) == positional("seed2/x.jsonl", 4) == "x:4"


def test_an_unreadable_record_belongs_to_the_arm_of_the_others(tmp_path: Path) -> None:
    path = write_json(tmp_path / "m_fc_airline.json", [tau(1), {**tau(2), "reward": "?"}])
    good, bad = imported(path, tmp_path / "out")
    assert (bad.backbone, bad.strategy, bad.benchmark, bad.variant) == ("m", "fc", "tau-bench", good.variant)
    assert SAID and bad.task_id == "2"


def test_ndjson_is_found_in_folders_and_a_key_given_twice_is_one_bad_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"task_id": 1, "messages": SAID, "success": True, "model": "m", "domain": "d"}
    write_lines(tmp_path / "set/a.ndjson", [row, {**row, "task_id": 2}])
    twice = json.dumps({**row, "task_id": 3}).replace('"success": true', '"success": true, "success": false')
    with (tmp_path / "set/a.ndjson").open("a", encoding="utf-8") as file:
        file.write(twice + "\n")
    found = imported(tmp_path / "set", tmp_path / "out")
    assert [episode.outcome.status for episode in found] == ["success", "success", "error"]
    assert "the key 'success' is given twice" in found[2].outcome.reason
    capsys.readouterr()
