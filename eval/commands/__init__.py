"""Commands of the fama command line that evaluate."""
