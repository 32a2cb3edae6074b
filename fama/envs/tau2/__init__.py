"""τ²-bench, through its own package: its tasks, tools, policies and evaluator, our decision loop."""
