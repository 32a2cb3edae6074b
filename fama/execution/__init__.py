"""How independent pieces of work are carried out: side by side in this process, or as Ray tasks."""
