"""tau2's own runner, by its command line, on a task of its mock domain: its agent asks the endpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fama.cli import main
from fama.episodes.store import read_episodes
from tests.support.clients import NOTE, check_records, desk
from tests.support.serving import Tree, completion

pytestmark = pytest.mark.slow  # its import takes ten seconds
pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
ASKED = "Create a task called Important Meeting for user_1, please."
DONE = "The task is created."


def play(asked: Tree) -> Tree:
    """Play the user (model ``player``) and the agent, which takes the reference action and says so."""
    if asked["model"] == "player":
        return completion("###STOP###" if DONE in json.dumps(asked["messages"]) else ASKED)
    heard = [message for message in asked["messages"] if message["role"] in ("user", "tool")]
    if heard[-1]["role"] == "tool":
        return completion(DONE)
    function = {"name": "create_task", "arguments": json.dumps({"user_id": "user_1", "title": "Important Meeting"})}
    return completion(None, tool_calls=[{"id": "call_1", "type": "function", "function": function}])


def test_its_runner(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.upstream.answer = play
        words = [sys.executable, "-m", "tau2.cli", "run", "--domain", "mock", "--task-ids", "create_task_1"]
        for role, model, url in (("agent", "m", one.base_url), ("user", "player", one.upstream_url)):
            words += [f"--{role}-llm", f"openai/{model}"]
            words += [f"--{role}-llm-args", json.dumps({"base_url": url, "api_key": "k", "num_retries": 0})]
        words += ["--max-steps", "20", "--max-concurrency", "1", "--save-to", "served"]
        words += ["--results-dir", str(tmp_path / "tau2")]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-2000:]
        one.upstream.asked = [asked for asked in one.upstream.asked if asked["model"] == "m"]
        one.check_notes(2)
    file = tmp_path / "tau2/served.json"
    assert NOTE not in file.read_text(encoding="utf-8")
    assert main(["import", "tau2", str(file), "--out", str(tmp_path / "imported")]) == 0
    (theirs,) = read_episodes(tmp_path / "imported")
    assert theirs.outcome.status == "success"
    check_records(one.folder, 1, "system assistant user assistant tool assistant", decided=2)
