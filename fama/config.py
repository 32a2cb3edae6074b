"""Typed configs: a pydantic tree, filled from YAML, then from ``key=value`` flags on top."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fama.errors import BadInput

M = TypeVar("M", bound=BaseModel)

#: Settings into which people put a key by mistake: what they gave is not repeated.
_MAY_HOLD_A_KEY = frozenset({"api_key_env", "base_url"})
#: Levels that a YAML file may have; no config of ours has ten.
_LEVELS = 100


def load_settings(model: type[M], path: str | Path | None, overrides: list[str] | None = None) -> M:
    """Read a YAML file into ``model`` and lay dotted ``key=value`` overrides on top.

    Values of overrides are YAML: ``trials=4``, ``model.name=x``, ``helpers.pool=[DCE,TSA]``.

    Raises:
        BadInput: the file is missing or not YAML, a key is unknown, or a value has the wrong type.
    """
    tree: Any = {}
    if path is not None:
        tree = read_yaml(Path(path), "YAML", "configs/ for examples", empty=True)
    for item in overrides or []:
        _override(tree, item)
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise BadInput(_one_line(error, path, model)) from None


def read_yaml(path: Path, what: str, example: str | None = None, empty: bool = False) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    Args:
        path: the file.
        what: what the file should be, for the message.
        example: where to look for an example; None is the shipped file.
        empty: an empty file is an empty mapping.

    Raises:
        BadInput: missing, not YAML, or no mapping.
    """
    try:
        value = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give an existing {what} file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML ({' '.join(str(error).split())}); fix that line") from None
    if value is None and empty:
        return {}
    if not isinstance(value, dict):
        example = example or f"the shipped {what}"
        raise BadInput(f"{path}: holds a {type(value).__name__}, not keys and values; see {example}")
    return value


def parse_yaml(text: str) -> Any:
    """The value of a YAML text; whatever the parser stumbles over is one kind of error.

    Raises:
        yaml.YAMLError: no YAML, a value that its tag or form promises and is not (``2001-13-01`` is no date), or too
            many levels.
    """
    try:
        _check_levels(text)
        return yaml.safe_load(text)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OverflowError) as error:
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _check_levels(text: str) -> None:
    """Refuse deep nesting before the value is built: PyYAML's time grows with the square of the levels."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _LEVELS:
            raise yaml.YAMLError(f"more than {_LEVELS} levels, {str(event.start_mark).strip()}")


def dump_settings(settings: BaseModel) -> dict[str, Any]:
    """The resolved config as JSON-able values; it can be fed back through ``--config``."""
    value: dict[str, Any] = json.loads(settings.model_dump_json())
    return value


def _override(tree: dict[str, Any], item: str) -> None:
    key, separator, text = item.partition("=")
    key = key.lstrip("-").strip()
    if not separator or not key:
        raise BadInput(f"{item!r} is not key=value; write for example trials=4 or model.name=qwen2.5-coder-0.5b")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise BadInput(f"{item!r}: the value is not YAML; put it in quotes") from None
    node = tree
    *parents, last = key.split(".")
    for part in parents:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise BadInput(f"{item!r}: {part!r} is a single value, not a group of keys")
        node = child
    node[last] = value


def _one_line(error: ValidationError, path: str | Path | None, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "(top)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    where = str(path) if path is not None else "settings"
    if first["loc"] and first["loc"][-1] in _MAY_HOLD_A_KEY:
        return f"{where}: {place}: {first['msg']}{more}"
    if first["type"] == "extra_forbidden":
        known = ", ".join(_known(model, first["loc"][:-1]))
        return f"{where}: unknown key {place!r}; known here: {known}{more}"
    return f"{where}: {place}: {first['msg']}; got {first.get('input')!r}{more}"


def _known(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields at a place of the tree; of the top when the place is not a plain group."""
    here: Any = model
    for part in loc:
        field = getattr(here, "model_fields", {}).get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return sorted(model.model_fields)
        here = field.annotation
    return sorted(here.model_fields)


EXECUTORS = ("local", "ray")


def add_config_flags(parser: argparse.ArgumentParser, out_default: str, executor: bool = False) -> None:
    """Add ``--config``, ``--out``, ``--print_config`` and trailing ``key=value`` overrides to a command.

    ``executor`` adds ``--executor``, which is the setting of the same name.
    """
    parser.add_argument("--config", metavar="F", help="YAML file of settings; see configs/")
    parser.add_argument(
        "--out", metavar="DIR", default=out_default, help="folder of the results (default: %(default)s)"
    )
    if executor:
        add_executor_flag(parser)
    parser.add_argument("--print_config", action="store_true", help="print the resolved settings as YAML and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid on top of the file")


def add_executor_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--executor local|ray``."""
    parser.add_argument("--executor", choices=EXECUTORS, help="in this process, or as Ray tasks (default: local)")


def read_settings(args: argparse.Namespace, model: type[M]) -> M | None:
    """The settings that parsed flags ask for; None when ``--print_config`` printed them instead.

    Raises:
        BadInput: see ``load_settings``.
    """
    executor = getattr(args, "executor", None)
    chosen = [f"executor={executor}"] if executor else []
    settings = load_settings(model, args.config, [*args.overrides, *chosen])
    if args.print_config:
        sys.stdout.write(yaml.safe_dump(dump_settings(settings), sort_keys=False, allow_unicode=True))
        return None
    return settings
