"""Provenance of a run: its config with hashes and versions, written once and compared on resume."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import fama
from fama.agents.strategies.base import STRATEGIES
from fama.config import dump_settings
from fama.errors import BadInput
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.helpers.base import TEMPLATE_TEXTS
from fama.helpers.yaml_helper import SUFFIXES, file_hashes
from fama.prompts import prompt_hash, template_names
from fama.provenance import arguments_given, git_commit
from fama.selection.selectors.prompted import ON_PREFIX
from fama.settings import (
    CompareSettings,
    ExperimentSettings,
    HelperSettings,
    RunSettings,
    SelectorSettings,
    hashed_form,
    written_settings,
)
from fama.subsets import stated_form

S = TypeVar("S", bound=ExperimentSettings)

CONFIG = "config.json"
COMPARISON = "comparison.json"
#: Settings that may change between a run and its resumption: they say how much is run and where, not what.
FREE = frozenset({"tasks", "trials", "concurrency", "executor", "stop_after"})
#: Keys of the model settings that say how an answer is reached, not what is asked: a server may move.
ROUTE = frozenset({"base_url", "api_key_env", "slots", "threads", "timeout", "retries", "prefill", "cache"})
_MODELS = ("model", "helper_model", "user_model")
#: Settings that came after runs had been made: unset, they change no hash, so that those runs can go on.
_LATER = frozenset({"user_model", "options"})


def config_hash(settings: ExperimentSettings) -> str:
    """Return the hash of all that shapes an episode besides its task, trial and arm; the same in every command."""
    return tree_hash(dump_settings(settings))


def tree_hash(tree: dict[str, Any]) -> str:
    """Return the ``config_hash`` of settings as they were once written; later settings are not in them."""
    return content_hash(shaping_settings(tree))


def shaping_settings(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a written tree that shape an episode; their hash is the ``config_hash``."""
    left_out = FREE | {key for key in _LATER if tree.get(key) is None}
    kept = (ExperimentSettings.model_fields.keys() & tree.keys()) - left_out
    return _what({key: tree[key] for key in kept})


def route_of(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a written tree that are in no hash, by dotted name: how it was run, not what."""
    found = {key: tree[key] for key in sorted(FREE & tree.keys())}
    for model in _MODELS:
        found |= {f"{model}.{key}": value for key, value in (tree.get(model) or {}).items() if key in ROUTE}
    if "concurrency" in tree["helpers"]:
        found["helpers.concurrency"] = tree["helpers"]["concurrency"]
    return found


def prompt_hashes(strategy: str) -> dict[str, str]:
    """Return the hashes of the templates that an episode may use: the strategy's, helpers' and selectors'.

    ``helpers/template`` is the version of the helpers' template forms, which are code.
    """
    names = [STRATEGIES.load(strategy).template]
    names += [name for name in template_names() if name.startswith(("helpers/", "selection/"))]
    return {**{name: prompt_hash(name) for name in names}, "helpers/template": TEMPLATE_TEXTS}


def run_prompts(settings: ExperimentSettings) -> dict[str, str]:
    """Return the hashes of the templates that a run may use, and of the files of its helpers.

    Questions at the end of the agent's request are among them only where a helper or a selector asks one, so that
    runs without are told apart from earlier ones by nothing.
    """
    hashes = prompt_hashes(settings.strategy)
    if _asks(settings):
        hashes |= {name: prompt_hash(name) for name in template_names() if name.startswith("questions/")}
    return hashes | file_hashes(settings.helpers.pool)


def as_told_in(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return present hashes as a folder of ``then`` tells them: earlier ones did not say what helper files held."""
    return {key: value for key, value in now.items() if key in then or not key.endswith(SUFFIXES)}


def with_reading(prompts: Mapping[str, str], helpers: HelperSettings) -> dict[str, str]:
    """Return the hashes of what decides the notes of an episode: prompts, and the layer that reads by meaning."""
    if helpers.reading == "patterns" or not helpers.pool:
        return dict(prompts)
    from fama.agents.reading.layer import shipped_layer

    return {**prompts, "reading": shipped_layer(helpers.reading).digest}


def _asks(settings: ExperimentSettings) -> bool:
    arms: tuple[SelectorSettings, ...] = ()
    if isinstance(settings, RunSettings | CompareSettings):
        arms = settings.arms if isinstance(settings, CompareSettings) else (settings.selector,)
    stated = {stated_form(name) for name in settings.helpers.pool}
    forms = {settings.helpers.form, *settings.helpers.forms.values(), *stated}
    return "llm" in forms or any(arm.options.get("form") == ON_PREFIX for arm in arms)


def provenance(settings: ExperimentSettings, benchmark_version: str, prompts: dict[str, str]) -> dict[str, Any]:
    """Return the content of ``config.json``."""
    return {
        "settings": dump_settings(settings),
        "config_hash": config_hash(settings),
        "benchmark_version": benchmark_version,
        "prompts": prompts,
        "package_version": fama.__version__,
        "git_commit": git_commit(),
        "argv": [Path(sys.argv[0]).name, *arguments_given()],
    }


def check_unchanged(out: Path, new: dict[str, Any], may_change: frozenset[str] = FREE) -> None:
    """Refuse to go on in a folder whose episodes were run differently.

    Where arms may change, a further arm may bring prompts that none before it had, and one that is left out may take
    its own away.

    Raises:
        BadInput: names the first key that differs, with both values.
    """
    path = out / CONFIG
    if not path.exists():
        if (out / "episodes.jsonl").exists():
            raise BadInput(f"{out}: holds episodes but no {CONFIG}; give another folder with --out")
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        before = {key: value for key, value in _what(old["settings"]).items() if key not in may_change}
        prompts, is_prompts = dict(old["prompts"]), dict(new["prompts"])
        before["benchmark_version"] = old["benchmark_version"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path}: cannot be read; give another folder with --out") from None
    now = {key: value for key, value in _what(new["settings"]).items() if key not in may_change}
    now["benchmark_version"] = new["benchmark_version"]
    if "arms" in may_change:
        both = prompts.keys() & is_prompts.keys()
        prompts, is_prompts = ({key: one[key] for key in both} for one in (prompts, is_prompts))
    is_prompts = as_told_in(prompts, is_prompts)
    # a setting that brings other prompts is the one to set back
    for key, was, is_now in (*_differences(before, now), *_differences(prompts, is_prompts, "prompts")):
        raise BadInput(f"{path}: {key} was {was} and is now {is_now}; set it back or give another folder with --out")


def settings_from(tree: Mapping[str, Any], kind: type[S]) -> S:
    """Return the settings of a written tree, as of its time; what this kind of settings does not have is left out.

    Raises:
        ValueError: they are not of this version.
    """
    written = written_settings(dict(tree))
    return kind.model_validate({key: value for key, value in written.items() if key in kind.model_fields})


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's ``config.json``.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give the folder that `fama run` wrote")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"{path}: missing, so the episodes cannot be replayed; give a folder of `fama run`") from None
    except ValueError:
        raise BadInput(f"{path}: not JSON; run the episodes again") from None
    if not isinstance(config, dict):
        raise BadInput(f"{path}: holds no settings; run the episodes again")
    return config


def read_run_settings(folder: Path) -> ExperimentSettings:
    """Return the settings that a folder's episodes were run with, of a run or of a comparison, published ones too.

    Raises:
        BadInput: no file of the folder holds them.
    """
    path, tree = _read_tree(folder)
    try:
        return settings_from(tree, ExperimentSettings)
    except (ValueError, TypeError, AttributeError):
        raise _no_settings(path) from None


def read_shaping_settings(folder: Path) -> dict[str, Any]:
    """Return the ``shaping_settings`` of a folder's episodes.

    Raises:
        BadInput: no file of the folder holds them.
    """
    path, tree = _read_tree(folder)
    try:
        return shaping_settings(tree)
    except (KeyError, TypeError, AttributeError):
        raise _no_settings(path) from None


def read_arms(folder: Path) -> list[dict[str, Any]]:
    """Return the settings of the selectors that a folder's ``config.json`` names, as they were written.

    Raises:
        BadInput: no file of the folder holds them.
    """
    path, tree = _read_tree(folder)
    arms = [tree["selector"]] if "selector" in tree else tree.get("arms", [])
    if not all(isinstance(arm, dict) for arm in arms):
        raise _no_settings(path)
    return [dict(arm) for arm in arms]


def _read_tree(folder: Path) -> tuple[Path, Any]:
    """Return the file that holds the settings of a folder's episodes, and these as they were written."""
    for name, key in ((CONFIG, "settings"), (COMPARISON, "config")):
        path = folder / name
        try:
            return path, json.loads(path.read_text(encoding="utf-8"))[key]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (ValueError, KeyError, TypeError):
            raise _no_settings(path) from None
    raise BadInput(f"{folder}: no folder with a {CONFIG}; give one of `fama run` or `fama compare`")


def _no_settings(path: Path) -> BadInput:
    return BadInput(f"{path}: not the settings of a run of this version; give a folder of `fama run` or `fama compare`")


def earlier_prompts(out: Path) -> dict[str, str]:
    """Return the prompts that the arms run in a folder so far had; none in a new one."""
    path = out / CONFIG
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["prompts"] if path.exists() else {}
    return found


def write_config(out: Path, content: dict[str, Any]) -> None:
    """Write ``config.json``, whole or not at all."""
    write_atomically(out / CONFIG, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _what(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the way to their models and without how many helpers are asked at once."""
    models = {key: settings[key] for key in _MODELS if isinstance(settings.get(key), dict)}
    kept = {key: {k: v for k, v in model.items() if k not in ROUTE} for key, model in models.items()}
    helpers = {key: value for key, value in settings["helpers"].items() if key != "concurrency"}
    return hashed_form({**settings, **kept, "helpers": helpers})


def _differences(old: Any, new: Any, path: str = "") -> list[tuple[str, str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        differing = []
        for key in sorted({*old, *new}):
            inner = f"{path}.{key}" if path else key
            differing += _differences(old.get(key), new.get(key), inner)
        return differing
    return [] if old == new else [(path, json.dumps(old), json.dumps(new))]
