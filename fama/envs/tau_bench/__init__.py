"""τ-bench and τ-trait, through a checkout of their own code; only the loop and the user's model are ours."""
