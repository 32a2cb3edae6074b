"""An agent task of Inspect with a tool, its model an ``openai-api`` provider."""

from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.store import read_episodes
from tests.support.clients import ANSWER, FOUND, NOTE, QUESTION, SYSTEM, check_records, desk

pytestmark = pytest.mark.slow  # its import takes seconds
inspect_ai = pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: pip install -e '.[inspect]'")


def task() -> Any:
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, system_message, use_tools
    from inspect_ai.tool import tool

    @tool
    def find_order() -> Any:
        async def execute(order_id: str) -> str:
            """Finds it.

            Args:
                order_id: the order.
            """
            return FOUND

        return execute

    return inspect_ai.Task(
        dataset=[Sample(input=QUESTION, target="pending", id="w1")],
        solver=[system_message(SYSTEM), use_tools(find_order()), generate()],
        scorer=includes(),
    )


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_task(stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE_API_KEY", "k")
    with desk(tmp_path) as one:
        monkeypatch.setenv("ELSEWHERE_BASE_URL", one.base_url)
        (log,) = inspect_ai.eval(
            task(),
            model="openai-api/elsewhere/m",
            model_args={"stream": stream},
            log_dir=str(tmp_path / "inspect"),
            display="none",
        )
        one.check_notes(2)
        assert [bool(asked.get("stream")) for asked in one.upstream.asked] == [stream, stream]
    assert log.status == "success" and log.results.scores[0].metrics["accuracy"].value == 1.0
    (sample,) = log.samples
    assert sample.output.completion == ANSWER
    assert NOTE not in "".join(message.model_dump_json() for message in sample.messages)
    check_records(one.folder, 1)
    assert main(["import", "inspect", str(tmp_path / "inspect"), "--out", str(tmp_path / "imported")]) == 0
    (theirs,) = read_episodes(tmp_path / "imported")
    assert theirs.outcome.status == "success" and NOTE not in theirs.model_dump_json()
