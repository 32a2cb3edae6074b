"""``fama models`` from the command line."""

import socket
from pathlib import Path

import pytest

from fama.cli import main


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMA_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_every_model_and_whether_it_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    for words in ("qwen2.5-coder-1.5b (default)", "qwen2.5-coder-0.5b", "smollm2-135m", "Apache-2.0", "1,117 MB", "no"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pull"], "give a NAME"),
        (["pull", "gpt-17"], "unknown model 'gpt-17'; known:"),
        (["serve", "smollm2-135m"], "fama models pull smollm2-135m"),
        (["serve", "/nowhere/x.gguf"], "no such file"),
        (["serve", "smollm2-135m", "--port", "99999"], "--port 99999"),
        (["serve", "some/model", "--backend", "vllm", "--flags", "--dtype 'half"], "No closing quotation"),
        (["serve", "some/model", "--backend", "vllm", "--wait", "nan"], "--wait nan"),
        (["explode"], "invalid choice"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_a_missing_vllm_names_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama.models.servers.vllm.vllm_version", lambda: None)
    assert main(["models", "serve", "smollm2-135m", "--backend", "vllm"]) == 2
    assert "fama-router[vllm]" in capsys.readouterr().err


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["models", "serve", str(tmp_path / "x.gguf"), "--port", port]) == 2
    assert f"--port {port}: cannot be used" in capsys.readouterr().err
