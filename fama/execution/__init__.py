"""Execution of independent jobs: side by side in this process, or as Ray tasks."""
