"""Checks of a checkpoint's numbers before they are used: a fitting hash says nothing about who wrote them."""

from collections.abc import Collection, Mapping

import numpy as np

from fama.selection.router.kinds.base import POPULATION, Arrays

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
