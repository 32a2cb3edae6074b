"""The redactor: keys in use in every form, keys in addresses whosesoever, and nothing else."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.episodes.jsonl import line_of
from fama.episodes.records import Message
from fama.files import write_atomically
from fama.redaction import RedactingFormatter, redact, redact_json, shortened
from fama.text.clean import clean

KEY = 'sk-"planted"/9f+1e77 aa'


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"Bearer {KEY}.", "Bearer ***."),
        ("?x=sk-%22planted%22%2F9f%2B1e77%20aa", "?x=***"),
        ("https://me:pass@host/v1", "https://***@host/v1"),
        ("see https://ghp_1234@github.com/x", "see https://***@github.com/x"),
        ("postgres://u:p@db:5432/x", "postgres://***@db:5432/x"),
        ("http://h/v1?api_key=abc&x=1", "http://h/v1?api_key=***&x=1"),
        ("http://h/v1?x=1&X-API-Key=abc#frag", "http://h/v1?x=1&X-API-Key=***#frag"),
        ("/v1/chat?key=abc'", "/v1/chat?key=***'"),
        ("?access_token=abc", "?access_token=***"),
        ("http://h/v1?api-version=2024&page=2", "http://h/v1?api-version=2024&page=2"),
        ("ssh://git@host/x, mail me@host", "ssh://git@host/x, mail me@host"),
        ("the key=value pairs & monkey=1", "the key=value pairs & monkey=1"),
    ],
)
def test_what_is_a_key(text: str, safe: str) -> None:
    assert redact(text) == safe
    assert redact(safe) == safe


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_line_stays_the_record_without_the_key(before: str, after: str) -> None:
    line = line_of(Message(role="user", content=f"{before}{KEY}{after}"))
    content = Message.model_validate_json(line).content
    assert content == redact(f"{before}{KEY}{after}") and KEY not in content and line.count(b"\n") == 1


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)))
def test_json_without_keys_is_left_alone(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(redact_json(text)) == json.loads(redact(text)) == value


def test_keys_go_before_a_text_is_cut() -> None:
    told = shortened(f"{'x' * 190} {KEY}\nmore", 200)
    assert told == f"{'x' * 190} *** more"


def test_files_logs_and_names_of_fields(tmp_path: Path) -> None:
    write_atomically(tmp_path / "config.json", json.dumps({"url": "http://h?api_key=abc", KEY: [KEY]}))
    assert json.loads((tmp_path / "config.json").read_text()) == {"url": "http://h?api_key=***", "***": ["***"]}
    try:
        raise ValueError(KEY)
    except ValueError as error:
        record = logging.LogRecord("x", 30, "f", 1, "said %s", (KEY,), (type(error), error, error.__traceback__))
    line = RedactingFormatter("%(message)s").format(record)
    assert "said ***" in line and "ValueError: ***" in line and KEY not in line


def test_a_number_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "1234567890")
    assert redact_json('{"n":1234567890}') == '{"n":1234567890}'


@pytest.mark.parametrize("word", ["required", "anything", "not-needed", "EMPTY_KEY", "sk-no-key-required", "Anything"])
def test_a_placeholder_is_no_key(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", word)
    message = Message(role="user", content=f"It is {word}.")
    assert Message.model_validate_json(line_of(message)) == message
    assert redact_json(json.dumps({f"{word}_outputs": word})) == json.dumps({f"{word}_outputs": word})
    write_atomically(tmp_path / "a.json", word)
    assert (tmp_path / "a.json").read_text() == word == clean(word)


@pytest.mark.parametrize(
    "key", ["hunter2hunter2", "qwhtzkdjmvxbrnpl", "abcd efgh ijkl mnop", "sk-ant-api03-x", "no-keyhole"]
)
def test_whatever_else_is_a_key_stands_nowhere(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", key)
    assert redact(f"a {key}") == "a ***" == clean(f"a {key}")
