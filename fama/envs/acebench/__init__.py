"""ACEBench, from a checkout that the user names: agent categories, and single answers as a second mode."""
