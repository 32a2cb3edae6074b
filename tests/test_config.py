"""Typed configs: YAML, overrides on top, one-line errors."""

import argparse
import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import model_validator

from fama import config
from fama.agents.runs.run_config import provenance
from fama.cli import main
from fama.config import add_config_flags, config_words, dump_settings, load_settings, parse_yaml, read_settings
from fama.errors import BadInput
from fama.mining.settings import MineSettings
from fama.settings import CompareSettings, RunSettings, Settings
from training.settings import TrainSettings


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


def test_ids_of_tasks_may_be_numbers() -> None:
    assert load_settings(RunSettings, None, ["tasks=[0, 7, train-3]"]).tasks == ("0", "7", "train-3")
    assert load_settings(RunSettings, None, ["tasks=7"]).tasks == 7
    assert load_settings(MineSettings, None, ["tasks=[0, train-3]"]).tasks == ("0", "train-3")


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
        ("trials: 1\nseed: 2\ntrials: 3\n", [], "the key 'trials' is given twice, line 3"),
        ("model: {name: a, name: b}\n", [], "the key 'name' is given twice"),
        ("base: &b {x: 1, x: 2}\n", [], "the key 'x' is given twice"),
        ("1: a\n01: b\n", [], "the key '01' is given twice"),
        ("", ["trials"], "is not key=value"),
        ("", ["trials.x.y=1", "trials=2", "trials.x=1"], "single value"),
        ("", ["placement=cot"], "placement"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, overrides: list[str], expected: str) -> None:
    file = write(tmp_path / "run.yaml", text)
    with pytest.raises(BadInput) as caught:
        load_settings(RunSettings, file, overrides)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted(path for folder in ("fama", "configs", "training") for path in (ROOT / folder).rglob("*.yaml"))
PIECES = st.sampled_from(
    ("a: 1\n", "- x\n", "  - y\n", "b: {c: d, e: [1, 2]}\n", "'q': \"w\\n\"\n", "k: |\n  text\n", "? k\n: v\n")
    + ("f: >-\n  fold\n  ed\n", "&x z: *x\n", "<<: {q: 1}\n", "---\n", "...\n", "# c\n", "2001-01-01", "12:30", "1e3")
    + ("yes", "~", ">", "|", "#", "1", "-", "!", "\t", "\ufeff", "\x85", "\u2028", "\0", "\ud800", "%", "@", "[", "}")
    + ("é", " ", "\n")
)


def read_by(text: str, fast: bool) -> str:
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(config, "_FastLoader", None)
        try:
            return repr(parse_yaml(text))
        except yaml.YAMLError as error:
            return f"refused: {error}"


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@settings(max_examples=400)
@given(st.lists(PIECES, max_size=8).map("".join))
@example("a\t")
@example("!")
@example("\n\ufeff&")
@example("|1#")
@example("[a:]")
@example("a: 1\na: 2\n")
def test_libyaml_reads_what_pyyaml_reads(text: str) -> None:
    assert read_by(text, fast=True) == read_by(text, fast=False)


def test_shipped_files_are_read_by_libyaml_and_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SHIPPED}
    plain = {path: read_by(text, fast=False) for path, text in texts.items()}
    if yaml.__with_libyaml__:
        monkeypatch.setattr(config, "_PlainLoader", None)
    assert len(texts) > 50 and {path: repr(parse_yaml(text)) for path, text in texts.items()} == plain


def test_merged_keys_may_be_given_again() -> None:
    text = "base: &b {x: 1, y: 1}\nmore: &m\n  <<: *b\n  x: 2\nlast:\n  <<: *b\n  y: 3\nagain:\n  <<: [*b, *m]\n"
    value = parse_yaml(text)
    assert value["more"] == {"x": 2, "y": 1} and value["last"] == {"x": 1, "y": 3} and value["again"]["y"] == 1


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes("strategy: f\u00e9\n".encode(encoding))
    with pytest.raises(BadInput, match="not UTF-8 text; save the YAML as UTF-8"):
        load_settings(RunSettings, file)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(b"\xef\xbb\xbftrials: 3\n")
    assert load_settings(RunSettings, file).trials == 3


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere.yaml: cannot be read"):
        load_settings(RunSettings, tmp_path / "nowhere.yaml")


BASE = "trials: 2\nmodel: {name: a, temperature: 0.5}\nhelpers: {pool: [DCE, TSA], options: {Memory: {k: 2}}}\n"


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", BASE)
    change = write(tmp_path / "change.yaml", "model: {name: b}\nhelpers: {pool: [DCE], options: {Memory: {k: 6}}}\n")
    settings = load_settings(RunSettings, [base, change], ["seed=3"])
    assert (settings.trials, settings.seed) == (2, 3)
    assert (settings.model.name, settings.model.temperature) == ("b", 0.5)
    assert settings.helpers.pool == ("DCE",) and settings.helpers.options == {"Memory": {"k": 6}}
    assert load_settings(RunSettings, [change, base]).model.name == "a"


def test_a_group_replaces_a_value_and_a_value_a_group(tmp_path: Path) -> None:
    group = write(tmp_path / "group.yaml", "user_model: {name: u, timeout: 3}\n")
    nothing = write(tmp_path / "nothing.yaml", "user_model: null\n")
    empty = write(tmp_path / "empty.yaml", "user_model: {}\n")
    assert load_settings(RunSettings, [group, nothing]).user_model is None
    found = load_settings(RunSettings, [group, nothing, empty]).user_model
    assert found is not None and found.timeout == 300
    found = load_settings(RunSettings, [nothing, group, empty]).user_model
    assert found is not None and found.timeout == 3


def test_two_names_of_one_yaml_group_are_two_groups(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "model: &m {}\nhelper_model: *m\n")
    change = write(tmp_path / "change.yaml", "model: {name: b}\n")
    settings = load_settings(RunSettings, [base, change])
    assert settings.model.name == "b" and settings.helper_model is not None and settings.helper_model.name != "b"


@pytest.mark.parametrize(
    ("change", "overrides", "where"),
    [
        ("model: {temperature: hot}\n", [], "change.yaml: model.temperature"),
        ("trials: 3\n", ["model.temperature=hot"], "command line: model.temperature"),
        ("model: {nmae: b}\n", [], "change.yaml: unknown key 'model.nmae'"),
        ("trials: 3\n", ["trails=3"], "command line: unknown key 'trails'"),
        ("helpers: {options: {Memory: {k: [1]}}}\n", [], "change.yaml: helpers.options.Memory.k"),
        ("a: [1\n", [], "change.yaml: not YAML"),
    ],
)
def test_errors_name_the_file_that_is_wrong(tmp_path: Path, change: str, overrides: list[str], where: str) -> None:
    files = [write(tmp_path / "base.yaml", BASE), write(tmp_path / "change.yaml", change)]
    with pytest.raises(BadInput) as caught:
        load_settings(RunSettings, files, overrides)
    assert where in str(caught.value) and "base.yaml" not in str(caught.value)
    with pytest.raises(BadInput, match="base.yaml: unknown key 'trails'") as caught:
        load_settings(RunSettings, [write(tmp_path / "base.yaml", "trails: 2\n"), write(files[1], "trials: 3\n")])
    assert "change.yaml" not in str(caught.value)


def test_a_rule_over_several_keys_names_every_file(tmp_path: Path) -> None:
    class Two(Settings):
        low: int = 0
        high: int = 1

        @model_validator(mode="after")
        def _ordered(self) -> "Two":
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    files = [write(tmp_path / "a.yaml", "low: 3\nhigh: 9\n"), write(tmp_path / "b.yaml", "high: 2\n")]
    with pytest.raises(BadInput, match=r"a.yaml, .*b.yaml: low is above high"):
        load_settings(Two, files)


def test_the_command_line_takes_several_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("base.yaml"), BASE)
    write(Path("change.yaml"), "trials: 3\n")
    assert main(["run", "--config", "base.yaml", "seed=1", "--config", "change.yaml", "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["trials"], shown["seed"], shown["model"]["name"]) == (3, 1, "a")
    write(Path("change.yaml"), "trials: many\n")
    assert main(["run", "--config", "base.yaml", "--config", "change.yaml"]) == 2
    assert capsys.readouterr().err.startswith("fama: change.yaml: trials: ")


def test_the_record_of_a_command_names_every_file(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_config_flags(parser, out_default="runs/x")
    for name in ("a b.yaml", "c.yaml"):
        write(tmp_path / name, "trials: 2\n")
    words = ["--config", str(tmp_path / "a b.yaml"), "--config", str(tmp_path / "c.yaml")]
    args = parser.parse_intermixed_args([*words, "seed=4"])
    assert config_words(args) == words
    settings = read_settings(args, RunSettings)
    assert settings is not None and (settings.trials, settings.seed) == (2, 4)
    assert config_words(parser.parse_args([])) == []


def test_settings_that_do_not_go_together_are_told_without_the_whole_config() -> None:
    with pytest.raises(BadInput) as error:
        load_settings(MineSettings, [], ["failures=0", "solved=0"])
    told = "command line: failures and solved are both 0: no episode is mined; raise one of them"
    assert str(error.value) == told
    run = "correction={run: {tasks: [a]}, mine: {failures: 0, solved: 0}}"
    with pytest.raises(BadInput) as error:
        load_settings(TrainSettings, [], ["rounds=2", run])
    assert str(error.value) == told.replace("line: ", "line: correction.mine: ")


@pytest.mark.parametrize(
    ("model", "override", "words"),
    [
        (CompareSettings, "arms=[{nam: none}]", "unknown key 'arms.0.nam'; known here: cadence, label, name, options"),
        (
            CompareSettings,
            "arms=[none]",
            "arms.0: 'none' is no group of keys; give {KEY: VALUE}, known here: cadence, ",
        ),
        (
            CompareSettings,
            "questions=[{arm: a, then: b}]",
            "unknown key 'questions.0.then'; known here: arm, ask, margin, ",
        ),
        (CompareSettings, "questions=[{arm: a}]", "questions.0.than: is missing; add it"),
        (
            RunSettings,
            "selector=all",
            "selector: 'all' is no group of keys; give {KEY: VALUE}, known here: cadence, label, ",
        ),
        (RunSettings, "helpers.pool=TSA", "helpers.pool: give a list, such as [TSA]"),
        (RunSettings, "helpers.forms=llm", "helpers.forms: 'llm' is no group of keys; give {KEY: VALUE}"),
        (RunSettings, "tasks=shop-test-0001", "tasks: give a list, such as [shop-test-0001]"),
        (MineSettings, "tasks=1", "tasks: give a list, such as [1]"),
        (RunSettings, "trials=two", "trials: Input should be a valid integer"),
    ],
)
def test_the_keys_of_the_group_are_named_in_the_users_words(model: type[Settings], override: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_settings(model, overrides=[override])
    assert str(caught.value).startswith(f"command line: {words}")


def test_the_config_of_a_run_is_given_back(tmp_path: Path) -> None:
    wanted = load_settings(RunSettings, None, ["trials=2", "model.name=scripted:echo", "helpers.pool=[TSA]"])
    content = provenance(wanted, "helpdesk-2.0", {})
    file = write(tmp_path / "config.json", json.dumps(content))
    assert load_settings(RunSettings, file) == wanted
    assert load_settings(RunSettings, file, ["trials=3"]).trials == 3
    del content["settings"]["helpers"]["reading"]
    write(file, json.dumps(content))
    assert load_settings(RunSettings, file).helpers.reading == "patterns", "earlier versions did not write it"
    write(file, "settings: {trials: 2}")
    with pytest.raises(BadInput, match="unknown key 'settings'"):
        load_settings(RunSettings, file)


def test_small_numbers_and_signs_of_a_written_config_come_back(tmp_path: Path) -> None:
    options = {"lam": 0.00001, "large": 1e300, "note": "😀 \u00e9", "id": "1e5"}
    wanted = load_settings(RunSettings, None, [f"selector.options={json.dumps(options)}", "model.name=😀"])
    assert wanted.selector.options == options
    for ascii_only in (True, False):
        text = json.dumps(provenance(wanted, "helpdesk-2.0", {}), ensure_ascii=ascii_only)
        assert load_settings(RunSettings, write(tmp_path / "config.json", text)) == wanted
    got = load_settings(RunSettings, None, ["model.extra_body={min_p: 1e-3, top_k: 7, id: 1234e5}"]).model.extra_body
    assert got == {"min_p": 0.001, "top_k": 7, "id": "1234e5"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("selector: {options: &x {a: [*x]}}", "an alias stands inside of what it names"),
        ('model: {name: "a\\ud83d"}', "half a sign"),
    ],
)
def test_what_no_text_can_hold_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        load_settings(RunSettings, write(tmp_path / "a.yaml", text))
