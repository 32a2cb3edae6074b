"""The documentation site: its strict build, what it loads, and links between the repository and the site."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from eval.publish.site import PAGES, page_text, places, with_site_links
from fama.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = [
    *("Get started", "Use it in your agent", "From your logs to a router", "Compare selectors and publish"),
    *("How it works", "Reference", "Results", "Lab log"),
]
needs_mkdocs = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mkdocs", "material", "mkdocstrings"))), reason="needs the extra docs"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@needs_mkdocs
def test_the_strict_build_has_every_page_in_eight_sections(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    tabs = re.findall(r'class="md-tabs__link"[^>]*>(.*?)</a>', home, re.DOTALL)
    assert [re.sub(r"<[^>]*>", "", tab).strip() for tab in tabs] == SECTIONS
    pages = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".ipynb")]
    names = places(ROOT)
    for source in [*PAGES, *(path.relative_to(ROOT).as_posix() for path in pages)]:
        name = names[source].replace("README.md", "index.md")
        text = (site / name).with_suffix(".html").read_text(encoding="utf-8")
        assert "<article" in text and "404" not in re.findall(r"<title>(.*?)</title>", text)[0], source


@needs_mkdocs
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text) == [], page
        assert str(ROOT) not in text, page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?(?:https?:)?//|@import", styles)
    found = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    assert any(entry["location"].startswith("serve.html") for entry in found)


@needs_mkdocs
def test_the_reference_has_signatures_and_arguments_of_the_public_names(site: Path) -> None:
    import fama

    html = (site / "api.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]*>", "", html)
    for name in (*fama.__all__, "Episode", "Failure", "LedgerRow", "Decision", "Note"):
        assert re.search(rf"\b{name}\b", text), name
    assert "the success probability that 1,000 tokens are worth" in text  # an argument's description
    described = set(re.findall(r'<h\d id="([\w.]+)"', html))
    assert {"fama.errors.BadInput", "fama.errors.ModelError", "fama.settings.BudgetSettings.decision"} <= described
    for one in (fama.Advisor.__init__, fama.Advisor.advise, fama.diagnose):
        needed = re.findall(r"fama[\w.]*\.(?:\w+Settings|Session)\b", f"{get_type_hints(one)}")
        assert needed and described >= set(needed), f"classes of the arguments of {one.__qualname__}"
    assert "advise_async" in text and "strip_user_thinking" in text


def test_links_lead_from_the_repository_to_the_site() -> None:
    names = {"README.md": "index.md", "docs/README.md": "documentation.md", "docs/results/a.md": "results/a.md"}
    names |= {"results/x.json": "files/results/x.json", "docs/method.md": "method.md"}
    text = "[a](../method.md#b) [b](../../results/x.json) [c](https://x/y.md) [d](../README.md) [e](gone.md) [f](#g)"
    assert with_site_links(text, "docs/results/a.md", names) == (
        "[a](../method.md#b) [b](../files/results/x.json) [c](https://x/y.md) "
        "[d](../documentation.md) [e](gone.md) [f](#g)"
    )
    assert with_site_links("[a](docs/method.md)\n```python wrap\n```", "README.md", names) == (
        "[a](method.md)\n```python\n```"
    )


def test_a_notebook_is_a_page_of_texts_code_and_printed_output(tmp_path: Path) -> None:
    path = tmp_path / "one.ipynb"
    code = {"cell_type": "code", "source": ["print('```')\n", "1"]}
    outputs = [
        {"output_type": "stream", "text": ["```\n"]},
        {"output_type": "execute_result", "data": {"text/plain": ["1"]}},
    ]
    cells = [{"cell_type": "markdown", "source": ["# One"]}, {**code, "outputs": outputs}]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert page_text(path) == "# One\n\n````python\nprint('```')\n1\n````\n\n````text\n```\n````\n\n```text\n1\n```\n"
    picture = {"output_type": "display_data", "data": {"image/png": "aGk="}}
    path.write_text(json.dumps({"cells": [{**code, "outputs": [picture]}]}), encoding="utf-8")
    with pytest.raises(BadInput, match=r"one\.ipynb: cell 0: an output of display_data; print text instead"):
        page_text(path)
