"""Keys are planted, then searched for in everything that the commands write, print and log."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.config import load_settings
from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.store import read_episodes
from fama.errors import BadInput, FamaError
from fama.models.servers import llama_cpp as local
from fama.models.servers import vllm
from fama.settings import RunSettings
from tests.support.fake_endpoint import Answer, Endpoint, said
from tests.support.toy_world import toy_world

KEY = "sk-planted-3f9c1e77aa"
WANDB = "planted0wandb0key0planted0wandb0key00001"
TOY = ("benchmark=toy", "domain=d", "demonstrations=0", "helpers.pool=[Alpha, Beta]")


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    with toy_world():
        yield


def leaks(folder: Path) -> list[Path]:
    """Files below a folder that hold a key, also in the compressed columns of outcome tables."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {path: path.read_bytes() for path in files}
    for path in files:
        if path.suffix == ".parquet":
            rows = [row.model_dump_json() for row in read_outcomes(path)]
            texts[path] += "\n".join([json.dumps(read_metadata(path)), *rows]).encode()
    assert files
    return [path for path, text in texts.items() if KEY.encode() in text or WANDB.encode() in text]


def gossip(endpoint: Endpoint, every: int) -> None:
    """The server solves three tasks of five; each n-th answer is an error that repeats the key it was sent."""

    def answer(body: dict[str, Any]) -> Answer:
        sent = endpoint.headers[-1]["authorization"]
        assert sent == f"Bearer {KEY}"
        if every and len(endpoint.asked) % every == 0:
            return 400, {"error": {"message": f"not allowed with {sent}", "headers": endpoint.headers[-1]}}
        tool = "solve" if len(endpoint.asked) % 5 < 3 else "give_up"
        return said(json.dumps({"tool": tool, "arguments": {}}), usage={"prompt_tokens": 10, "completion_tokens": 3})

    endpoint.answer = answer


def test_no_key_is_in_anything_that_is_written(
    endpoint: Endpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = ("model.name=m", f"model.base_url={endpoint.base_url}", "model.retries=0", "stop_after=0")
    gossip(endpoint, every=3)
    assert main(["run", *TOY, *server, "tasks=6", "split=train", "--out", str(tmp_path / "run")]) == 0
    reasons = [e.outcome.reason for e in read_episodes(tmp_path / "run") if e.outcome.status == "error"]
    assert len(reasons) == 2 and all("not allowed with Bearer ***" in reason for reason in reasons)
    gossip(endpoint, every=0)
    table = tmp_path / "outcomes" / "outcomes.parquet"
    subsets = ("subsets=[[], [Alpha], [Beta]]", "per_task=3", "split=train", "tasks=8")
    assert main(["outcomes", *TOY, *server, *subsets, "--out", str(table.parent)]) == 0
    arms = 'arms=[{"name": "none"}, {"name": "all"}]'
    compare = ["compare", *TOY, *server, arms, "split=test", "tasks=3", "bootstrap=100"]
    assert main([*compare, "--out", str(tmp_path / "compare")]) == 0
    assert main(["report", str(tmp_path / "compare"), "--wandb"]) == 0
    assert list(tmp_path.glob("compare/wandb/offline-run-*/*.wandb"))
    hashed = (
        "kind=linear",
        "vectors.source=hashed",
        "vectors.components=4",
        "linear.folds=2",
        "data.pool=[Alpha, Beta]",
    )
    assert main(["train", *hashed, f"data.outcomes=[{table}]", "--out", str(tmp_path / "router")]) == 0
    assert main(["score", str(tmp_path / "run")]) == 0
    assert leaks(tmp_path) == []
    said_aloud = "".join(capfd.readouterr())
    assert KEY not in said_aloud + caplog.text and WANDB not in said_aloud + caplog.text


def test_a_server_that_echoes_the_key_in_everything_it_says(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OTHER_KEY", KEY)

    def answer(body: dict[str, Any]) -> Answer:
        turn = len(endpoint.asked) % 4
        if turn == 0:  # at the cut of the message
            return 400, {"error": {"message": f"{'x' * 280} {KEY}", "code": KEY}}
        if turn == 1:
            return said(f"my key is {KEY}", usage={"prompt_tokens": 1, "completion_tokens": 1})
        call = {"tool": KEY, "arguments": {KEY: KEY}}
        text = json.dumps(call if turn == 2 else {"tool": "solve", "arguments": {"why": f"http://u:{KEY}@h/"}})
        return said(text, usage={"prompt_tokens": 1, "completion_tokens": 1})

    endpoint.answer = answer
    server = ("model.name=m", f"model.base_url={endpoint.base_url}", "model.retries=0", "model.api_key_env=OTHER_KEY")
    out, cache = tmp_path / "run", f"model.cache={tmp_path / 'cache'}"
    assert main(["run", *TOY, *server, cache, "stop_after=0", "tasks=6", "split=train", "--out", str(out)]) == 0
    assert leaks(tmp_path) == [] and KEY[:6] not in (out / "episodes.jsonl").read_text() + caplog.text
    assert "***" in (out / "episodes.jsonl").read_text()


@pytest.mark.parametrize(
    "setting",
    [
        f"model.api_key={KEY}",
        f"model.api_key_env={KEY}",
        f"model.base_url=https://me:{KEY}@host/v1",
        "model.base_url=https://host/v1?api_key=" + KEY,
        f"model.base_url=https://host/{KEY}/v1",
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    assert main(["run", *TOY, setting, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert setting.partition("=")[0] in error and KEY not in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_endpoint_that_wants_another_key(endpoint: Endpoint) -> None:
    endpoint.owner = "locked"
    settings = load_settings(RunSettings, None, ["model.name=m", f"model.base_url={endpoint.base_url}"]).model

    async def connected() -> None:
        from fama.models.connect import connect

        async with connect(settings):
            raise AssertionError("it connected")

    import asyncio

    with pytest.raises(BadInput, match="environment variable OPENAI_API_KEY") as caught:
        asyncio.run(connected())
    assert KEY not in str(caught.value)


def test_local_servers_listen_on_loopback_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xllamacpp

    told = vllm.flags(vllm.VllmSpec("some/model"))
    assert told[told.index("--host") + 1] == "127.0.0.1"
    asked: list[Any] = []

    class Elsewhere:
        listening_address = "http://0.0.0.0:4711"

        def __init__(self, params: Any) -> None:
            asked.append(params)

    monkeypatch.setattr(xllamacpp, "Server", Elsewhere)
    with pytest.raises(FamaError, match="not on loopback; stopped it"):
        with local.serve(local.ServerSpec(tmp_path / "none.gguf")):
            raise AssertionError("it serves")
    assert asked[0].hostnames == ["127.0.0.1"] and asked[0].api_keys
