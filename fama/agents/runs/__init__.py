"""Many episodes: planned, run several at once, resumed, summarised."""
