"""Rows of a hand-made outcome table."""

from fama.episodes.outcome_table import OutcomeRow


def row(task: str, subset: str, success: bool | None, propensity: float | None = 0.5, trial: int = 0) -> OutcomeRow:
    return OutcomeRow(
        episode_id=f"{task}-{subset}-{trial}",
        benchmark="toy",
        benchmark_version="toy-1",
        domain="d",
        task_id=task,
        trial=trial,
        backbone="m",
        strategy="act",
        subset=subset,
        propensity=propensity,
        status="error" if success is None else "success" if success else "failure",
        success=success,
        reward=None if success is None else float(success),
        tokens=10,
        tokens_agent=10,
        tokens_helper=0,
        tokens_selector=0,
        tokens_cached=0,
        output_tokens=1,
        decisions=1,
        seconds=1.0,
        pool="TSA+Verifier",
        prompts_hash="x",
        state="{}",
    )
