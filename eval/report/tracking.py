"""A comparison as a wandb run: its tables, figures and the arms' measures."""

from pathlib import Path
from typing import Any

from eval.compare.comparison import read_comparison
from eval.report.figures import figures, save_figure
from eval.report.tables import comparison_tables
from fama.redaction import redact_tree
from training.network.loggers import contained

PROJECT = "fama"


def log_comparison(folder: Path, mode: str) -> Path | None:
    """Log what the folder's comparison holds; returns wandb's folder, None where wandb is disabled.

    ``mode`` is ``offline`` or ``online``; the environment's WANDB_MODE wins. Nothing leaves the machine offline:
    ``wandb sync`` uploads it on request.

    Raises:
        BadInput: there is no comparison.
    """
    comparison = read_comparison(folder)
    with contained(folder, mode) as effective:
        if effective == "disabled":
            return None
        import wandb

        run = wandb.init(
            project=PROJECT,
            job_type="compare",
            name=f"{comparison.benchmark}-{comparison.domain}-{comparison.backbone}",
            dir=folder,
            mode="online" if effective == "online" else "offline",
            config=redact_tree({**comparison.config, "command": comparison.command, "commit": comparison.commit}),
            reinit="finish_previous",
        )
        for arm in comparison.arms:
            measures = arm.measures
            run.summary[arm.arm] = {
                "success": measures.success.value,
                "success_low": measures.success.low,
                "success_high": measures.success.high,
                "tokens": measures.tokens.value,
                "tasks": measures.tasks,
                "trials": measures.trials,
            }
        for table in comparison_tables(comparison):
            rows: list[Any] = [[cell.text for cell in row] for row in table.rows]
            run.log({f"tables/{table.name}": wandb.Table(columns=list(table.columns), data=rows)})
        for name, figure in figures(comparison).items():
            picture = folder / "figures" / f"{name}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            save_figure(figure, picture)
            run.log({f"figures/{name}": wandb.Image(str(picture))})
        run.finish()
    return folder / "wandb"
