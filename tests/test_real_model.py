"""The smallest real LLM through the whole loop: plumbing only, it is too weak to solve a task."""

import json
from pathlib import Path

import pytest

from fama import cli
from fama.episodes.store import read_episodes
from fama.errors import FamaError
from fama.models.weights.storage import pull

MODEL = "smollm2-135m"


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    try:
        pull(MODEL)
    except FamaError as error:
        pytest.skip(f"no weights of {MODEL}: {error}")


def test_compare_diagnose_report(tmp_path: Path) -> None:
    arms = [
        {"name": "none"},
        {"name": "fixed", "label": "pair", "options": {"subset": ["TSA", "Verifier"]}},
        {"name": "prompted", "options": {"form": "one_call"}},
    ]
    # one thread: two that wait for each other crawl while other tests keep a core busy
    one = ("model.threads=1", "model.max_tokens=24", "model.context_tokens=4096")
    small = (f"model.name={MODEL}", *one, "limits.steps=2", "demonstrations=0")
    out = tmp_path / "comparison"
    assert cli.main(["compare", "tasks=1", *small, f"arms={json.dumps(arms)}", "--out", str(out)]) == 0
    episodes = list(read_episodes(out))
    assert {episode.selector for episode in episodes} == {"none", "pair", "prompted"}
    for episode in episodes:
        assert episode.outcome.status in ("success", "failure"), episode.outcome
        assert episode.decisions
        agent = [row for row in episode.ledger if row.role == "agent"]
        assert all((row.input_tokens or 0) > 100 and row.model == MODEL for row in agent)
        assert sum(row.output_tokens or 0 for row in agent) > 0
        assert all(row.price is None for row in episode.ledger)
    assert any(row.cached_input_tokens for episode in episodes for row in episode.ledger)  # one shared prefix
    assert any(
        row.role == "selector" for episode in episodes for row in episode.ledger if episode.selector == "prompted"
    )
    assert cli.main(["diagnose", str(out), "--out", str(tmp_path / "failures")]) == 0
    assert cli.main(["report", str(out)]) == 0
