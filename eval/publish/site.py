"""Hooks of the documentation site: pages, notebooks and files of the repository as parts of it.

mkdocs reads ``docs`` alone. README and other pages outside are added under names of their own, files that pages link
to are copied, notebooks become pages, and links are rewritten from places in the repository to places on the site, so
that one text serves both.
"""

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, normpath, relpath
from typing import Any

from fama.errors import BadInput

#: Pages of the repository by their names on the site.
PAGES = {
    "README.md": "index.md",
    "docs/README.md": "documentation.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/helpdesk/README.md": "results/helpdesk.md",
    "results/readings/guide.md": "results/readings.md",
}
#: Folder of the site with files of the repository that pages link to.
FILES = "files"
_LINK = re.compile(r"\]\(([^)#\s]+)((?:#[^)]*)?)\)")
#: The opening of a code block with more than a language, which names the block for tests.
_NAMED = re.compile(r"^(```\w+) [\w-]+$", re.MULTILINE)


@lru_cache(maxsize=1)
def places(root: Path) -> dict[str, str]:
    """Return names on the site by paths in the repository, of all pages and of all files that they link to."""
    sources = [path.relative_to(root).as_posix() for path in sorted((root / "docs").rglob("*")) if path.is_file()]
    names = {source: source.removeprefix("docs/") for source in sources} | PAGES
    for source in [source for source in names if source.endswith((".md", ".ipynb"))]:
        if source.endswith(".ipynb"):
            names[source] = names[source].removesuffix(".ipynb") + ".md"
        for link, _ in _LINK.findall(page_text(root / source)):
            target = target_of(source, link)
            if target is not None and target not in names and (root / target).is_file():
                names[target] = f"{FILES}/{target}"
    return names


def target_of(source: str, link: str) -> str | None:
    """Return the path in the repository that a page's link leads to; None for an address."""
    return None if ":" in link else normpath(f"{dirname(source)}/{link}" if dirname(source) else link)


def with_site_links(text: str, source: str, names: dict[str, str]) -> str:
    """Return a page whose links lead to places on the site; what is not on it stays for mkdocs to refuse."""

    def placed(match: re.Match[str]) -> str:
        target = target_of(source, match[1])
        if target not in names:
            return match[0]
        return f"]({relpath(names[target], dirname(names[source]) or '.')}{match[2]})"

    return _LINK.sub(placed, _NAMED.sub(r"\1", text))


def page_text(path: Path) -> str:
    """Return a page's Markdown; of a notebook its texts, code and printed output.

    Raises:
        BadInput: a notebook's cell has an output other than text: the site shows none.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    blocks = []
    for number, cell in enumerate(json.loads(text)["cells"]):
        body = "".join(cell["source"]).rstrip()
        blocks.append(body if cell["cell_type"] == "markdown" else _fenced("python", body))
        for output in cell.get("outputs", ()):
            shown = output["text"] if output["output_type"] == "stream" else output.get("data", {}).get("text/plain")
            if shown is None:
                raise BadInput(f"{path}: cell {number}: an output of {output['output_type']}; print text instead")
            blocks.append(_fenced("text", "".join(shown).rstrip()))
    return "\n\n".join(blocks) + "\n"


def _fenced(language: str, body: str) -> str:
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}"


def on_files(files: Any, config: Any) -> Any:
    """Add what is outside ``docs`` to mkdocs' files, and notebooks as pages."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    places.cache_clear()  # mkdocs serve builds again after each change
    for source, name in places(root).items():
        if source.endswith(".ipynb"):
            files.append(File.generated(config, name, content=page_text(root / source)))
        elif source in PAGES or name.startswith(f"{FILES}/"):
            files.append(File.generated(config, name, abs_src_path=os.fspath(root / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page before mkdocs reads it."""
    names = places(Path(config.config_file_path).parent)
    (source,) = [source for source, name in names.items() if name == page.file.src_uri]
    return with_site_links(markdown, source, names)
