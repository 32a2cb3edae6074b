"""Importers on logs that others published; skipped where these are not at hand."""

import re
from collections import Counter
from pathlib import Path

import pytest

from fama.diagnosis.crosswalk import load_crosswalk
from fama.episodes.importers.base import IMPORTERS, LABEL_READERS, detect_format
from fama.episodes.importers.tau_bench import read as read_tau
from fama.episodes.records import Episode, total_tokens
from tests.support.published_logs import FAILURE_LOGS, NO_LOGS

#: successes and episodes as the logs' own description lists them
EXPECTED = {
    "qwen3-4b-instruct_fc_retail_run1": (46, 115),
    "qwen3-4b-instruct_fc_retail_run2": (53, 115),
    "qwen3-4b-instruct_fc_retail_run3": (58, 115),
    "qwen3-4b-instruct_fc_airline_run1": (15, 50),
    "qwen3-4b-instruct_fc_airline_run2": (19, 50),
    "qwen3-4b-instruct_fc_airline_run3": (16, 50),
    "qwen3-4b_act_airline_run1": (19, 50),
    "qwen3-4b_act_airline_run2": (14, 50),
    "qwen3-4b_act_airline_run3": (15, 50),
    "qwen3-4b_react_airline_run1": (10, 50),
    "qwen3-4b_react_airline_run2": (12, 50),
    "qwen3-4b_fc_airline_4trials": (52, 121),
    "llama-3.1-8b_fc_airline_4trials": (67, 200),
    "gpt-4o_fc_airline_4trials": (84, 200),
}


def published(pattern: str) -> list[Path]:
    found = sorted(FAILURE_LOGS.glob(pattern))
    if not found:
        pytest.skip(NO_LOGS)
    return found


def test_published_tau_bench_logs() -> None:
    counted: dict[str, tuple[int, int]] = {}
    for path in published("tau_bench/*.json.gz"):
        episodes = list(read_tau(path))
        name = path.name.removesuffix(".json.gz")
        counted[name] = (sum(e.outcome.status == "success" for e in episodes), len(episodes))
        assert {f"{e.backbone}_{e.strategy}_{e.domain}" for e in episodes} == {re.sub(r"_(run\d|4trials)$", "", name)}
        assert len({e.id for e in episodes}) == len(episodes)
        assert all(_well_formed(e) for e in episodes if e.outcome.status != "error")
    assert {name: counted.get(name) for name in EXPECTED} == EXPECTED


def test_published_tau_trait_logs() -> None:
    for path in published("tau_trait/*.json.gz"):
        episodes = list(read_tau(path))
        domain = "telecom" if "telecom" in path.name else "telehealth"
        assert len(episodes) == {"telecom": 18, "telehealth": 20}[domain]
        assert {(e.benchmark, e.domain, e.backbone, e.strategy) for e in episodes} == {
            ("tau-trait", domain, "gpt-5", "fc")
        }
        assert all(_well_formed(e) for e in episodes)


def test_published_tau2_log() -> None:
    (path,) = published("tau2/*.json.gz")
    assert detect_format(path) == "tau2"
    episodes = list(IMPORTERS.load("tau2")(path))
    statuses = Counter(e.outcome.status for e in episodes)
    assert statuses == {"success": 9, "failure": 32, "error": 9}
    assert {(e.domain, e.backbone, e.strategy) for e in episodes} == {("airline", "ollama_chat/qwen2.5:7b", "fc")}
    assert all(_well_formed(e) for e in episodes)
    assert all((total_tokens(e.ledger) or 0) > 0 for e in episodes if len(e.messages) > 2)


def test_published_labels_of_failures() -> None:
    counted = 0
    for path in published("labels_ck496/*.json.gz"):
        episodes, said = list(IMPORTERS.load("ck496")(path)), list(LABEL_READERS.load("ck496")(path))
        assert [e.id for e in episodes] == [label.episode_id for label in said]
        assert len({e.id for e in episodes}) == len(episodes)
        assert all(load_crosswalk().translate(label).taxonomy_version == "fama-4/1" for label in said)
        counted += len(episodes)
    assert counted == 287


def _well_formed(episode: Episode) -> bool:
    called = {call.id for message in episode.messages for call in message.tool_calls or ()}
    answered = {message.tool_call_id for message in episode.messages if message.role == "tool"}
    return episode.messages[0].role == "system" and answered <= called
