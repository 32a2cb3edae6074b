"""Settings from random values: a config that can be written and read again, or one line."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from eval.ablation.settings import AblateSettings
from fama.agents.runs.run_config import config_hash, tree_hash
from fama.cli import main
from fama.config import dump_settings, load_settings
from fama.errors import BadInput
from fama.mining.settings import MineSettings
from fama.settings import (
    CompareSettings,
    ExperimentSettings,
    HelperSettings,
    OutcomesSettings,
    ReadingMode,
    RunSettings,
    written_settings,
)
from training.settings import TrainSettings

MODELS: tuple[type[BaseModel], ...] = (
    RunSettings,
    OutcomesSettings,
    CompareSettings,
    MineSettings,
    TrainSettings,
    AblateSettings,
)
NUMBERS = (0, -1, 1, 2, 10**30, -(10**30), 0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"))
SCALARS = st.sampled_from((*NUMBERS, None, True, "", "x", "1", ".nan", "http://h", "http://h:99999/v1", "a\0b", "é"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "subset"]), inner, max_size=2),
)


def keys_of(model: type[BaseModel], prefix: str = "", depth: int = 0) -> list[str]:
    """Return the dotted keys of a config, groups too."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds if depth < 3 else ():
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += keys_of(kind, f"{prefix}{name}.", depth + 1)
    return keys


def groups_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a config and the groups in it."""
    found = [model]
    for field in model.model_fields.values():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += groups_of(kind)
    return found


KEYS = {model: keys_of(model) for model in MODELS}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_values_are_a_config_or_one_line(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS))
    chosen = data.draw(st.dictionaries(st.sampled_from(KEYS[model]), VALUES, min_size=1, max_size=3))
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True).strip()}" for key, value in chosen.items()]
    try:
        made = load_settings(model, None, overrides)
    except BadInput as error:
        assert "\n" not in str(error)
        return
    text = json.dumps(dump_settings(made), allow_nan=False)
    assert model.model_validate(json.loads(text)) == made
    if isinstance(made, ExperimentSettings):
        assert len(config_hash(made)) > 8


@pytest.mark.parametrize(
    "setting",
    [
        *("trials=0", "tasks=0", "concurrency=0", "stop_after=-1", "demonstrations=-1", "seed=1e400"),
        *("model.retries=-1", "model.temperature=.nan", "model.timeout=0", "model.timeout=.inf", "model.top_p=0"),
        *("model.max_tokens=0", "model.threads=-1", "model.base_url=localhost:8000", "model.base_url=http://h:99999"),
        *("limits.steps=-1", "limits.repeats=1", "limits.seconds=.inf", "budget.run=-1", "budget.decision=.5"),
        *("selector.options={lam: .inf}", "helpers.concurrency=0", "trails=4", "model.nme=x", "tasks=x"),
    ],
)
def test_a_bad_setting_is_blamed_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    (tmp_path / "c.yaml").write_text("trials: 2\nmodel: {name: x, retries: 1}\ntasks: 3\n")
    command = ["run", "--config", str(tmp_path / "c.yaml"), setting, "--out", str(tmp_path / "out")]
    assert main(command) == 2
    error = capsys.readouterr().err
    key = setting.partition("=")[0]
    assert error.startswith("fama: command line: ") and key in error and error.count("\n") == 1
    assert "c.yaml" not in error and "constrained" not in error and not (tmp_path / "out").exists()


def test_keys_of_a_group_that_may_be_missing_are_listed() -> None:
    with pytest.raises(BadInput, match=r"unknown key 'helper_model\.nme'; known here: api_key_env, base_url"):
        load_settings(RunSettings, None, ["helper_model.nme=x"])


def test_flags_that_contradict_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--executor", "ray", "executor=local", "--out", str(tmp_path / "out")]) == 2
    assert "contradict" in capsys.readouterr().err


@pytest.mark.parametrize("reading", ["patterns", "meaning"])
def test_a_written_config_is_read_back_as_it_was(reading: ReadingMode) -> None:
    settings = RunSettings(helpers=HelperSettings(reading=reading))
    written = dump_settings(settings)
    assert RunSettings.model_validate(written) == RunSettings.model_validate(written_settings(written)) == settings
    older = {**written, "helpers": {key: value for key, value in written["helpers"].items() if key != "reading"}}
    assert (tree_hash(older) == tree_hash(written)) == (reading == "patterns"), "older configs keep their hash"
    assert written_settings(older)["helpers"]["reading"] == "patterns"


@pytest.mark.parametrize("model", MODELS)
def test_a_setting_is_left_out_of_dumps_only_where_it_is_its_default(model: type[BaseModel]) -> None:
    """Omitted settings are read back as the default, so nothing else may be left out."""
    for group in groups_of(model):
        for name, field in group.model_fields.items():
            if field.exclude_if is not None:
                default = field.get_default(call_default_factory=True)
                choices = getattr(field.annotation, "__args__", ())
                assert field.exclude_if(default), name
                assert not any(field.exclude_if(one) for one in (*choices, 7, "x") if one != default), name


@pytest.mark.parametrize("reading", ["patterns", "meaning"])
def test_a_printed_config_is_read_back_as_it_was(
    reading: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--print_config", f"helpers.reading={reading}"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_settings(RunSettings, printed).helpers.reading == reading
