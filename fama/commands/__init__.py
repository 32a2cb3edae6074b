"""One module a command of the fama command line."""
