"""Checks of a checkpoint's numbers before they are used: a fitting hash says nothing about who wrote them."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fama.selection.router.manifest import LoraShape

Float32Array = NDArray[np.float32]
Arrays = Mapping[str, Float32Array]
#: The array of every router that was trained on outcomes: the context-free model that its kind builds on.
POPULATION = "population"
#: Largest number in an array. Products of a few such numbers stay finite.
_LARGEST = 1e9
#: Smallest divisor.
_LEAST = 1e-12


def check_numbers(arrays: Arrays, unknown: Collection[str] = ()) -> None:
    """Refuse arrays with numbers that are infinite, huge or no numbers; those called ``unknown`` may have NaN.

    Raises:
        ValueError: names the array.
    """
    for name, values in arrays.items():
        if values.dtype.kind not in "fbiu":
            raise ValueError(f"{name}: holds {values.dtype}, not numbers")
        known = np.asarray(values[~np.isnan(values)] if name in unknown else values, dtype=np.float64)
        if known.size and not np.abs(known).max() <= _LARGEST:
            raise ValueError(f"{name}: holds a number that is not finite or beyond {_LARGEST:g}")


def check_divisors(arrays: Arrays, *names: str) -> None:
    """Refuse arrays of divisors that are not all positive.

    Raises:
        ValueError: names the array.
    """
    for name in names:
        if arrays[name].size and not arrays[name].min() >= _LEAST:
            raise ValueError(f"{name}: holds a number below {_LEAST:g}, by which is divided")


def check_shapes(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse arrays of other shapes, before memory is taken for them.

    Raises:
        KeyError: one is missing.
        ValueError: names the array and both shapes.
    """
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name}: has shape {arrays[name].shape} instead of {shape}")


def check_places(arrays: Arrays, name: str, count: int) -> None:
    """Refuse an array of places in a list of ``count`` that holds another number.

    Raises:
        ValueError: names the array.
    """
    values = arrays[name]
    if values.size and not (0 <= values.min() and values.max() < count and (values == np.floor(values)).all()):
        raise ValueError(f"{name}: holds a number that is no place among {count}")


def check_population(arrays: Arrays, helpers: int) -> None:
    """Refuse a context-free model of another number of heads, where there is one.

    Raises:
        ValueError: names both numbers.
    """
    if POPULATION in arrays:
        check_shapes(arrays, {POPULATION: (2 + 2 * helpers + helpers * (helpers - 1) // 2,)})


class AdapterMismatch(ValueError):
    """An adapter's weights do not fit the encoder that they are for."""


class StoredAdapter(NamedTuple):
    """LoRA weights of an encoder by peft's names, and what their config says; ``transposed`` is its fan_in_fan_out."""

    shape: LoraShape
    arrays: Arrays
    transposed: bool = False


#: Where an adapter's weights belong, and which of the pair they are.
_LORA = re.compile(r"base_model\.model\.(?P<layer>[\w.]+)\.lora_(?P<part>[AB])\.weight")
#: Keys of peft's config that say nothing of the weights, or what is read from them.
_READ = frozenset({"base_model_name_or_path", "fan_in_fan_out", "inference_mode", "lora_alpha", "lora_dropout"})
_READ |= {"peft_type", "peft_version", "qalora_group_size", "r", "target_modules"}
#: Values of the others that change nothing. Any other one would: expressions that are matched for ever, modules that
#: are imported, layers that are copied, decompositions that are computed, weights that count otherwise.
_NEUTRAL: Mapping[str, object] = {"bias": "none", "init_lora_weights": True, "megatron_core": "megatron.core"}


def check_adapter(config: Any, arrays: Arrays) -> StoredAdapter:
    """Return a plain LoRA adapter: pairs of matrices of one rank, at the layers that its config lists.

    Raises:
        ValueError: it is another sort of adapter, or its weights do not fit each other.
        LookupError: the config lacks a key.
        TypeError: the config is no object.
    """
    if config["peft_type"] != "LORA":
        raise ValueError("no LoRA adapter")
    for key, value in config.items():
        if key not in _READ and value not in (None, False, {}, []) and value != _NEUTRAL.get(key):
            raise ValueError(f"{str(key)[:80]} is set, plain LoRA has no such thing")
    targets, transposed = config["target_modules"], config.get("fan_in_fan_out", False)
    numbers = {key: config.get(key) for key in ("r", "lora_alpha")}
    if any(type(value) is not int for value in numbers.values()) or type(transposed) is not bool:
        raise ValueError("r and lora_alpha are whole numbers, fan_in_fan_out is true or false")
    if not isinstance(targets, list) or not 0 < len(targets) <= len(arrays):
        raise ValueError("target_modules is no list of layers with weights")
    shape = LoraShape(rank=config["r"], alpha=config["lora_alpha"], targets=tuple(targets))
    check_numbers(arrays)
    layers: dict[str, set[str]] = {}
    for name, values in arrays.items():
        if (found := _LORA.fullmatch(name)) is None:
            raise ValueError(f"{name[:200]}: no weight of a LoRA adapter")
        layers.setdefault(found["layer"], set()).add(found["part"])
        if values.ndim != 2 or values.dtype.kind != "f" or values.shape[found["part"] == "B"] != shape.rank:
            raise ValueError(
                f"{name[:200]}: {values.dtype} of shape {values.shape}, no LoRA matrix of rank {shape.rank}"
            )
    if lacking := [layer for layer, pair in layers.items() if len(pair) < 2]:
        raise ValueError(f"{lacking[0][:200]}: has one of two weights")
    return StoredAdapter(shape, arrays, transposed)
