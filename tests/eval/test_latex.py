"""Tables in LaTeX: columns that fit, captions of what is shown, and a paper that compiles without overfull boxes."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from eval.compare.comparison import read_comparison
from eval.report.latex import COLUMN, PAGE, WIDTHS, Width, latex
from eval.report.table_format import Table, TableCell
from eval.report.tables import comparison_tables
from tests.support.comparisons import comparison
from tests.support.eval_builders import build

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.parent for path in (ROOT / "results").rglob("comparison.json"))
HARD = Table(
    "hard_one",
    "Any τ² & co",
    "At λ = 0.005, ≥ 3 <trials> | #1 at 50 %; a~b^c_d \\ {e}. Regret: gone. Rate: here.",
    (
        "arm",
        "rate, %",
        "tokens per success of the arm",
        "chosen most",
        "regret, points",
        *(f"pass^{k}, %" for k in range(9)),
    ),
    (
        (
            *(TableCell("best_fixed", mark="†"), TableCell("50.0 [40.1, 100.0]", 50.0, best=True, mark="***")),
            *(TableCell("345 [34, 1,456]", 345), TableCell("DCE+TSA ×30 · none ×2"), TableCell("–")),
            *[TableCell("−100.0 [−99.9, +99.9]", -100.0, best=True)] * 9,
        ),
    ),
    (1, 2),
)


def header(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("arm"))


def test_columns_go_by_priority_until_the_width_is_full() -> None:
    narrow, wide = latex(HARD, COLUMN), latex(HARD, PAGE)
    assert header(narrow) == r"arm & rate, \% & \shortstack[r]{tokens per\\success of the\\arm} \\"
    assert "% Left out for width: chosen most · regret, points · pass^0, %" in narrow
    assert r"\begin{tabular}{@{}lrr@{}}" in narrow and r"\begin{tabular}{@{}lrrlr" in wide  # words stand on the left
    assert "chosen most" in header(wide) and "regret" in header(wide) and "% Left out for width: pass^" in wide
    assert narrow.startswith(r"% Needs \usepackage{booktabs}. Fits a width of 3.0 in")
    assert r"\label{tab:hard-one-column}" in narrow and r"\label{tab:hard-one}" in wide
    assert narrow.count("{table}") == 2 and wide.count("{table*}") == 2


def test_a_column_that_has_two_priorities_is_shown_once() -> None:
    assert latex(replace(HARD, priority=(1, 1, 0, 2)), COLUMN) == latex(HARD, COLUMN)


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: width.environment)
def test_questions_have_their_answers(width: Width) -> None:
    """A question is a sentence: in one line, nothing fits beside it."""
    tables = comparison_tables(read_comparison(ROOT / "results/helpdesk/mixed"))
    text = latex(next(table for table in tables if table.name == "answers"), width)
    assert r"question & difference, points & shown" in text
    row = next(line for line in text.splitlines() if line.startswith("all better than none"))
    assert r"]} & yes " in row


def test_names_of_more_than_half_of_the_width_are_stacked() -> None:
    name = f"learned, trained on both domains {'x' * 60}"
    rows = tuple((TableCell(text, mark="†"), TableCell("1.0", 1.0)) for text in ("none", name))
    text = latex(Table("t", "T", "C.", ("arm", "rate, %"), rows), COLUMN)
    assert r"none$^{\dagger}$ & 1.0 \\" in text
    assert r"\shortstack[l]{learned, trained on both\\domains\\xxx" in text and text.count("x") > 60
    assert "Left out" not in text


@pytest.mark.parametrize(
    ("trials", "first"), [(1, ["success"]), (2, ["success", "pass^2"]), (4, ["success", "pass^4"])]
)
def test_success_and_the_last_pass_k_come_first(trials: int, first: list[str]) -> None:
    done = [build(task, "none", trial=trial) for task in "abc" for trial in range(trials)]
    table = next(one for one in comparison_tables(comparison({"none": done})) if one.name == "success")
    assert [table.columns[index] for index in table.priority] == [*(f"{name}, %" for name in first), "tasks"]
    assert latex(table).count("success") == 2  # its column and its label


def test_the_caption_explains_only_what_is_shown() -> None:
    caption = next(line for line in latex(HARD, COLUMN).splitlines() if line.startswith(r"\caption"))
    assert caption == (
        r"\caption{\textbf{Any $\tau$$^2$ \& co.} At $\lambda$ = 0.005, $\ge$ 3 $<$trials$>$ $|$ \#1 at 50 \%; "
        r"a\textasciitilde{}b\textasciicircum{}c\_d \textbackslash{} \{e\}. Rate: here.}"
    )
    assert "Regret: gone. Rate: here.}" in latex(HARD, PAGE)


def test_values_are_bold_and_intervals_small() -> None:
    row = next(line for line in latex(HARD, COLUMN).splitlines() if line.startswith("best"))
    assert row == (
        r"best\_fixed$^{\dagger}$ & \textbf{50.0} {\scriptsize {[}40.1, 100.0]}$^{***}$ & "
        r"345 {\scriptsize {[}34, 1,456]} \\"
    )


def test_a_name_with_line_ends_leaves_no_comment() -> None:
    """Names of helpers are columns: one with a line end would put what follows it into the paper."""
    name = "x\n\\input{y}\r\u2028\x00z"
    text = latex(Table("t", "T", "C.", ("arm", *[name] * 90), ((TableCell("a"), *[TableCell("1", 1)] * 90),)), COLUMN)
    assert [line for line in text.splitlines() if line.startswith(("\\input", "z"))] == []
    assert "\\textbackslash{}input" in text and "\x00" not in text.partition("\\begin{table}")[2]


def test_letters_have_their_own_widths() -> None:
    """A heading of wide letters: LaTeX sets this one in 33.6 points, eight average letters in 31."""
    heads = ["unparsed"] * 10
    row = (TableCell("no"), *[TableCell("0", 0)] * len(heads))
    text = latex(Table("t", "T", "C.", ("arm", *heads), (row,)), PAGE)
    assert text.partition(r"\begin{tabular}")[2].count("unparsed") == 9  # a tenth ends at 400 of 397 points


def has_booktabs() -> bool:
    if not all(map(shutil.which, ("pdflatex", "kpsewhich"))):
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_booktabs(), reason="needs pdflatex and booktabs (Debian: texlive-latex-recommended)")
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: width.environment)
def test_a_paper_with_every_table_compiles_within_its_width(width: Width, tmp_path: Path) -> None:
    shown = [HARD, *(table for place in SHIPPED for table in comparison_tables(read_comparison(place)))]
    assert {"success", "differences", "cost", "selection", "helpers"} < {table.name for table in shown}
    texts = [latex(table, width).replace(r"\label{", rf"\label{{{i}:") for i, table in enumerate(shown)]
    paper = [
        rf"\documentclass[10pt]{{article}}\usepackage{{booktabs}}\setlength{{\textwidth}}{{{width.inches}in}}",
        r"\begin{document}",
        *(text + r"\clearpage" for text in texts),
        *re.findall(r"\\ref\{.*?\}", " ".join(text.replace(r"\label", r"\ref") for text in texts)),
        r"\end{document}",
    ]
    (tmp_path / "paper.tex").write_text("\n".join(paper), encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(encoding="latin-1")
    wide = [line for line in log.splitlines() if line.startswith(("Overfull", "LaTeX Warning: Float too large"))]
    assert wide == [] and "multiply defined" not in log
    assert f"Output written on paper.pdf ({len(shown) + 1} pages" in log
