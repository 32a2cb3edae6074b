"""The Python blocks of docs/use-in-your-agent.md run as they stand there."""

import re
from pathlib import Path
from typing import Any

import openai
import pytest

from fama.agents.reading import reader
from tests.support.fake_endpoint import Endpoint, said
from tests.support.foreign_logs import SAID, write_lines
from tests.support.order_requests import AGREED, TOOLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/use-in-your-agent.md"


@pytest.mark.parametrize("reading", ["patterns", pytest.param("meaning", marks=pytest.mark.slow)])
def test_every_block_of_the_page_runs(
    reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    endpoint.answers = [said("Done.")]

    class Client(openai.OpenAI):
        def __init__(self) -> None:
            http = openai.DefaultHttpxClient(trust_env=False)
            super().__init__(api_key="k", base_url=endpoint.base_url, http_client=http)

    monkeypatch.setattr(openai, "OpenAI", Client)
    if reading == "patterns":  # without the sentence encoder, which takes seconds to load
        monkeypatch.setattr(reader, "_shipped", lambda mode: None)
    for folder in ("checkpoints", "results"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    write_lines(tmp_path / "logs/mine.jsonl", [{"messages": SAID, "success": False}])
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"messages": AGREED, "tools": TOOLS}
    blocks = re.findall(r"```python (\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, block in blocks:
        exec(compile(block, f"{PAGE.name}:{name}", "exec"), names)  # noqa: S102
    assert [name for name, _ in blocks] == ["wrap", "advise", "session", "notebook"]
    assert names["advice"].notes and names["reply"].choices[0].message.content == "Done."
    note = "Note: " + " ".join(note.text for note in names["advice"].notes)
    assert note in endpoint.asked[0]["messages"][len(AGREED) - 1]["content"]
    assert names["second"].session.noted[: len(names["first"].session.noted)] == names["first"].session.noted
    assert names["labels"] and [episode.backbone for episode in names["imported"]] == ["my-model"]
    names["advisor"].close()
    names["client"]._advisor.close()
