"""Names of exported files: readable, and one for each group of episodes."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from fama.hashing import content_hash

K = TypeVar("K", bound=tuple[str, ...])

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST = 180


def distinct_names(groups: Mapping[K, Sequence[str]]) -> dict[K, str]:
    """Return the name of every group: its parts joined by ``_``, signs other than letters, digits and ``.+-`` as ``-``.

    Names that several groups would get, also on disks that do not tell capitals apart, and too long ones end with a
    hash of the group's key; so the name of a group depends on no order.
    """
    plain = {key: "_".join(_UNSAFE.sub("-", part) for part in parts if part) for key, parts in groups.items()}
    times = Counter(name.casefold() for name in plain.values())
    return {
        key: name
        if times[name.casefold()] == 1 and 0 < len(name) <= _LONGEST
        else f"{name[:_LONGEST]}_{content_hash(list(key))[:8]}"
        for key, name in plain.items()
    }
