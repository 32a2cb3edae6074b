"""Tasks that are known to be wrong, by benchmark and domain: data, versioned, with reason and source."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fama.settings import domains_of

PATH = Path(__file__).with_name("exclusions.yaml")


@lru_cache(maxsize=1)
def exclusions() -> dict[str, Any]:
    """Return the whole list, as it stands in the file."""
    value: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return value


def known_wrong(benchmark: str, domain: str) -> dict[str, str]:
    """Return the fault of each task by id; empty for a benchmark or domain without a list."""
    listed = exclusions()["benchmarks"].get(benchmark, {}).get("domains", {})
    return {task: fault for part in domains_of(domain) for task, fault in listed.get(part, {}).items()}
