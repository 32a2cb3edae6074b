"""The notebooks of docs run from the top, and what they print is what they show."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def printed(cells: list[Any]) -> str:
    """All that the code cells print."""
    return "".join("".join(o.get("text", "")) for cell in cells for o in cell.get("outputs", ()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_committed_small_and_without_places_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert len(text) < 60_000 and printed(cells)
    assert not re.search(r"/(?:home|root|tmp|work|Users)/|Traceback", printed(cells))
    numbers = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert numbers == list(range(1, len(numbers) + 1))  # run once, from the top


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("nbclient", "ipykernel"))), reason="needs the extra notebooks"
)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    for folder in ("checkpoints", "configs", "docs", "results"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    notebook = nbformat.read(path, as_version=4)
    shown = printed(notebook.cells)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, coalesce_streams=True, kernel_name="python3", resources=where).execute()
    assert printed(notebook.cells) == shown, "run it again and commit it"
