"""README and docs: short, with links, paths and commands that exist."""

import re
from pathlib import Path

import pytest

from fama.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
#: Words that README may have before its file tree.
MOST_WORDS = 800
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FOLDERS = "fama|training|eval|perf|configs|checkpoints|results|tests|docs"
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]+\.(?:py|yaml|md|j2|parquet))`")
_COMMAND = re.compile(r"^\s*fama ([a-z]+)\b", re.MULTILINE)


def test_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text[: text.index("## Where things are")].split()) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in _LINK.findall(text) if "://" not in link and not link.startswith("mailto:")]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in _PATH.findall(text) if "X." not in path and not (ROOT / path).exists()]
    assert missing == []


def test_every_command_of_readme_exists() -> None:
    named = set(_COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(named) >= 10
    assert named <= COMMANDS.keys()
