"""Typed configs: YAML, overrides on top, one-line errors."""

import time
from pathlib import Path

import pytest

from fama.config import dump_settings, load_settings
from fama.errors import BadInput
from fama.settings import RunSettings


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_then_overrides(tmp_path: Path) -> None:
    file = write(tmp_path / "run.yaml", "domain: saas\ntrials: 2\nmodel: {name: a, temperature: 0.5}\n")
    settings = load_settings(RunSettings, file, ["trials=4", "model.name=b", "helpers.pool=[DCE,TSA]", "--seed=3"])
    assert (settings.domain, settings.trials, settings.seed) == ("saas", 4, 3)
    assert (settings.model.name, settings.model.temperature) == ("b", 0.5)
    assert settings.helpers.pool == ("DCE", "TSA")


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "? " * 50_000, "- " * 50_000, "[" * 101 + "]" * 101])
def test_nesting_without_end_is_refused_at_once(tmp_path: Path, text: str) -> None:
    start = time.process_time()
    with pytest.raises(BadInput, match="more than 100 levels"):
        load_settings(RunSettings, write(tmp_path / "deep.yaml", text))
    assert time.process_time() - start < 2
    allowed = "domain: " + "[" * 90 + "]" * 90
    with pytest.raises(BadInput, match="domain: Input should be a valid string"):
        load_settings(RunSettings, write(tmp_path / "deep.yaml", allowed))


def test_resolved_settings_feed_back() -> None:
    settings = load_settings(RunSettings, None, ["selector.options={subset: [TSA]}", "tasks=[a,b]"])
    assert RunSettings.model_validate(dump_settings(settings)) == settings


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("trails: 2\n", [], "unknown key 'trails'; known here: benchmark"),
        ("model: {nmae: x}\n", [], "unknown key 'model.nmae'; known here: api_key_env"),
        ("trials: many\n", [], "trials: "),
        ("a: [1\n", [], "not YAML"),
        ("- 1\n", [], "holds a list"),
        ("", ["trials"], "is not key=value"),
        ("", ["trials.x.y=1", "trials=2", "trials.x=1"], "single value"),
        ("", ["strategy=cot"], "strategy"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, overrides: list[str], expected: str) -> None:
    file = write(tmp_path / "run.yaml", text)
    with pytest.raises(BadInput) as caught:
        load_settings(RunSettings, file, overrides)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere.yaml: cannot be read"):
        load_settings(RunSettings, tmp_path / "nowhere.yaml")
