"""Typed configs: a pydantic tree, filled from YAML files, then from ``key=value`` flags on top."""

import argparse
import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from fama.config_layers import ConfigLayers, Keys
from fama.errors import BadInput
from fama.settings import Settings, written_settings

M = TypeVar("M", bound=BaseModel)
log = logging.getLogger(__name__)

#: Settings into which people put a key by mistake: what they gave is not repeated.
_MAY_HOLD_A_KEY = frozenset({"api_key_env", "base_url"})
#: Levels that a YAML file may have; no config of ours has ten.
_LEVELS = 100
#: What libyaml reads in another way than PyYAML: a tab after a value, a tag, a second byte order mark, ``>#``.
_READ_OTHERWISE = re.compile(r"[\t\ufeff]|(?:^|[^\w.?!'\")}\]])!|[|>][-+0-9]*#")
#: What stands beside the settings in a ``config.json``: that of a run or of mining, that of a training.
_HASHES = frozenset({"config_hash", "data_hash"})
#: The source of overrides in messages.
_COMMAND_LINE = "command line"


def load_settings(
    model: type[M], files: str | Path | Sequence[str | Path] | None = None, overrides: Sequence[str] = ()
) -> M:
    """Read YAML files into ``model``, later over earlier, and lay dotted ``key=value`` overrides on top.

    Groups of keys are merged key by key, everything else is replaced, lists too. Values of overrides are YAML:
    ``trials=4``, ``model.name=x``, ``helpers.pool=[DCE,TSA]``. A file may be the ``config.json`` that a command wrote.

    Raises:
        BadInput: a file is missing or not YAML, a key is unknown, or a value has the wrong type.
    """
    layers = ConfigLayers()
    for path in [files] if isinstance(files, str | Path) else files or ():
        layers.add(_settings_in(read_yaml(Path(path), "YAML", "configs/ for examples", empty=True)), str(path))
    given: dict[str, str] = {}
    for item in overrides:
        _override(layers, item, given)
    try:
        return model.model_validate(layers.tree)
    except ValidationError as error:
        raise BadInput(_one_line(error, layers, model)) from None


def _settings_in(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in a ``config.json`` that a command wrote; any other mapping as it is."""
    settings = tree.get("settings")
    return written_settings(settings) if isinstance(settings, dict) and tree.keys() & _HASHES else tree


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
        value = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give an existing {what} file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not UTF-8 text; save the {what} as UTF-8") from None
    except yaml.YAMLError as error:
        why = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise BadInput(f"{path}: not YAML ({why}); fix that line") from None
    if value is None and empty:
        return {}
    if not isinstance(value, dict):
        example = example or f"the shipped {what}"
        raise BadInput(f"{path}: holds a {type(value).__name__}, not keys and values; see {example}")
    return value


def read_yaml_as(path: Path, model: type[M], what: str, fix: str, example: str | None = None) -> M:
    """Read a YAML file as a record; ``fix`` says what to do about a value that does not fit.

    Raises:
        BadInput: missing, not YAML, no mapping, or a field is wrong.
    """
    try:
        return model.model_validate(read_yaml(path, what, example))
    except ValidationError as error:
        raise BadInput(f"{path}: {first_fault(error)}; {fix}") from None


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a record as ``field: what is wrong``."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or '(top)'}: {first['msg'].removeprefix('Value error, ')}"


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; every failure of the parser becomes one kind of error.

    Raises:
        yaml.YAMLError: no YAML, a key that is given twice, a value that its tag or form promises and is not
            (``2001-13-01`` is no date), or too many levels.
    """
    if _FastLoader is not None and not _READ_OTHERWISE.search(text):
        try:
            return _parsed(text, _FastLoader)
        except yaml.YAMLError:
            pass  # what PyYAML's own parser says of it has more detail
    return _parsed(text, _PlainLoader)


def _whole_texts(value: Any) -> Any:
    """Return a parsed value whose texts hold whole signs: JSON escapes those beyond the first plane in two halves.

    Raises:
        yaml.YAMLError: a text holds half a sign, or an alias holds itself.
    """
    done: dict[int, Any] = {}
    held: set[int] = set()

    def whole(one: Any) -> Any:
        if isinstance(one, str):
            return one if one.isascii() else _joined(one)
        if not isinstance(one, dict | list):
            return one
        if id(one) in held:
            raise yaml.YAMLError("an alias stands inside of what it names")
        if id(one) not in done:
            held.add(id(one))
            items = one.items() if isinstance(one, dict) else enumerate(one)
            inner = [(whole(key), whole(item)) for key, item in items]
            done[id(one)] = dict(inner) if isinstance(one, dict) else [item for _, item in inner]
            held.remove(id(one))
        return done[id(one)]

    return whole(value)


def _joined(text: str) -> str:
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise yaml.YAMLError("a text holds half a sign, an escape such as \\ud83d alone") from None


class _KeysOnce(SafeConstructor):
    """Refuses a key that is given twice; of two values the last one would win unseen."""

    def construct_document(self, node: yaml.Node) -> Any:
        """Build a document's value; nothing of it is checked yet."""
        self._checked: set[int] = set()
        return super().construct_document(node)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Check a mapping's own keys, then put in those that it merges, which may be given again."""
        if id(node) not in self._checked:
            self._checked.add(id(node))
            seen: set[Any] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                value = self.construct_object(key)
                if value in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} is given twice, {str(key.start_mark).strip()}")
                seen.add(value)
        super().flatten_mapping(node)


class _PlainLoader(_KeysOnce, yaml.SafeLoader):
    """PyYAML's safe loader."""


_FastLoader: type[yaml.CSafeLoader] | None = None
if yaml.__with_libyaml__:

    class _LibyamlLoader(_KeysOnce, yaml.CSafeLoader):
        """The same with libyaml's parser, which takes a tenth of the time."""

    _FastLoader = _LibyamlLoader


_LOADERS: list[type[yaml.SafeLoader] | type[yaml.CSafeLoader]] = [_PlainLoader]
if _FastLoader is not None:
    _LOADERS.append(_FastLoader)
for _loader in _LOADERS:  # 1e-05 is a text for YAML 1.1; without the sign it may be an id
    _loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]\d+\Z"), list("-+.0123456789")
    )


def _parsed(text: str, loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader]) -> Any:
    """Return a text's value; refuse deep nesting before it is built: the time grows with the square of the levels."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader) if len(text) > _LEVELS else ():
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _LEVELS:
                raise yaml.YAMLError(f"more than {_LEVELS} levels, {str(event.start_mark).strip()}")
        return _whole_texts(yaml.load(text, Loader=loader))  # noqa: S506 - a safe loader
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OverflowError) as error:
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def dump_settings(settings: BaseModel) -> dict[str, Any]:
    """Return the resolved config as JSON-able values; it can be fed back through ``--config``."""
    value: dict[str, Any] = json.loads(settings.model_dump_json())
    return value


def _override(layers: ConfigLayers, item: str, given: dict[str, str]) -> None:
    """Lay one override on top; ``given`` are those before it, by key, and one that takes back another is told."""
    key, separator, text = item.partition("=")
    key = key.lstrip("-").strip()
    if not separator or not key:
        raise BadInput(f"{item!r} is not key=value; write for example trials=4 or model.name=qwen2.5-coder-0.5b")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise BadInput(f"{item!r}: the value is not YAML; put it in quotes") from None
    before = [one for one in given.values() if takes_back(item, one)]
    given[key] = item
    try:
        layers.put(key.split("."), value, _COMMAND_LINE)
    except KeyError as error:
        raise BadInput(f"{item!r}: {error.args[0]!r} is a single value, not a group of keys") from None
    if before:
        earlier = before[0].partition("=")[0].lstrip("-").strip()
        told = "is given twice" if earlier == key else f"takes back {earlier}"
        log.warning("%s: %s %s; the last counts", _COMMAND_LINE, key, told)


def takes_back(later: str, earlier: str) -> bool:
    """Return whether an override replaces what an earlier one set, with another value: its key, or one inside it."""
    (key, _, text), (before, _, value) = (item.lstrip("-").partition("=") for item in (later, earlier))
    key, before = key.strip(), before.strip()
    return before.startswith(f"{key}.") or (before == key and _plain(value) != _plain(text))


def _plain(text: str) -> str:
    """Return a value as text, the same for ``1`` and for the quoted one of a flag."""
    try:
        return str(parse_yaml(text))
    except yaml.YAMLError:
        return text


def with_flag(overrides: Sequence[str], flag: str, item: str) -> list[str]:
    """Return overrides with the one that a flag stands for.

    Raises:
        BadInput: one of them sets another value.
    """
    for one in overrides:
        if takes_back(item, one) or takes_back(one, item):
            raise BadInput(f"{flag} and {one!r} contradict each other; give one of them")
    return [*overrides, item]


def _one_line(error: ValidationError, layers: ConfigLayers, model: type[BaseModel]) -> str:
    first = _most_telling(error)
    keys = _without_union_tags(first["loc"], layers.tree, first["type"])
    field = ".".join(map(str, keys)) or "(top)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    where = f"{', '.join(layers.sources(keys)) or 'settings'}: "
    if keys and keys[-1] in _MAY_HOLD_A_KEY:
        return f"{where}{field}: {first['msg']}{more}"
    if first["type"] == "extra_forbidden":
        known = ", ".join(_known_fields(model, keys[:-1]))
        return f"{where}unknown key {field!r}; known here: {known}{more}"
    if first["type"] == "missing":
        fix = "add it" if any(isinstance(key, int) for key in keys) else f"give {field}=VALUE, or name it in a file"
        return f"{where}{field}: is missing; {fix}{more}"
    told = first["msg"].removeprefix("Value error, ")
    if first["type"] == "dict_type":
        return f"{where}{field}: {first['input']!r} is no group of keys; give {{KEY: VALUE}}{more}"
    if first["type"] == "model_type":
        known = ", ".join(_known_fields(model, keys))
        return f"{where}{field}: {first['input']!r} is no group of keys; give {{KEY: VALUE}}, known here: {known}{more}"
    if first["type"] == "tuple_type" and isinstance(first["input"], str | int | float):
        return f"{where}{field}: give a list, such as [{first['input']}]"
    if first["type"] == "value_error" and isinstance(first.get("input"), Mapping):  # what was given is the whole group
        return f"{where}{f'{field}: ' if keys else ''}{told}{more}"
    return f"{where}{field}: {told}; got {first.get('input')!r}{more}"


def _most_telling(error: ValidationError) -> Any:
    """Return the problem to tell: of a key that lacks and one that is unknown, the unknown one may be it, misspelt.

    What may be a number or a list, and is one name, was meant as a list.
    """
    problems = error.errors()
    first = problems[0]
    if first["type"] == "missing":
        return next((one for one in problems if one["type"] == "extra_forbidden"), first)
    meant = (one for one in problems if one["type"] == "tuple_type" and one["input"] == first["input"])
    return next(meant, first) if isinstance(first["input"], str) else first


def _without_union_tags(keys: Keys, tree: Any, problem: str) -> Keys:
    """Return the keys of a value that is there; pydantic adds the member of a union that it tried."""
    if problem in ("extra_forbidden", "missing"):
        return keys
    for place, key in enumerate(keys):
        inside = isinstance(tree, dict) and key in tree
        if not inside and not (isinstance(tree, list | tuple) and isinstance(key, int) and key < len(tree)):
            return keys[:place]
        tree = tree[key]
    return keys


def _known_fields(model: type[BaseModel], keys: Keys) -> list[str]:
    """Return the fields of the group at ``keys``; those of the top where that is no plain group."""
    group: Any = model
    for key in keys:
        if isinstance(key, int):  # a place in a list of groups
            continue
        field = getattr(group, "model_fields", {}).get(key)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return sorted(model.model_fields)
        group = inner[0]
    return sorted(group.model_fields)


EXECUTORS = ("local", "ray")


def add_config_flags(parser: argparse.ArgumentParser, out_default: str, executor: bool = False) -> None:
    """Add ``--config``, ``--out``, ``--print_config`` and trailing ``key=value`` overrides to a command.

    ``executor`` adds ``--executor``, which is the setting of the same name.
    """
    parser.add_argument(
        "--config",
        metavar="F",
        action="append",
        default=[],
        help="YAML file of settings, see configs/; given several times, later files win key by key",
    )
    parser.add_argument(
        "--out", metavar="DIR", default=out_default, help="folder of the results (default: %(default)s)"
    )
    if executor:
        add_executor_flag(parser)
    parser.add_argument("--print_config", action="store_true", help="print the resolved settings as YAML and stop")
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add trailing ``key=value`` overrides."""
    told = "settings laid on top of the files; --print_config lists them, docs/settings.md says what each means"
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=told)


def add_executor_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--executor local|ray``."""
    parser.add_argument("--executor", choices=EXECUTORS, help="in this process, or as Ray tasks (default: local)")


def config_words(args: argparse.Namespace) -> list[str]:
    """Return the ``--config`` flags as they were typed, for the record of a command."""
    return [word for path in args.config for word in ("--config", str(path))]


def read_settings(args: argparse.Namespace, model: type[M]) -> M | None:
    """Return the settings that parsed flags ask for; None when ``--print_config`` printed them instead.

    Raises:
        BadInput: see ``load_settings``.
    """
    executor = getattr(args, "executor", None)
    flag = f"--executor {executor}"
    overrides = with_flag(args.overrides, flag, f"executor={executor}") if executor else args.overrides
    settings = load_settings(model, args.config, overrides)
    if args.print_config:
        sys.stdout.write(yaml.safe_dump(dump_settings(settings), sort_keys=False, allow_unicode=True))
        return None
    if isinstance(settings, Settings):
        for line in settings.unused():
            log.warning("%s; it has no effect", line)
    return settings
