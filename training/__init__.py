"""Training of routers from outcome tables and failure logs."""
