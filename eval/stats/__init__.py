"""Statistics for paired, task-clustered comparisons."""
