"""Routers of several kinds, losses and sizes, trained alike and tested on tasks that none of them saw: one table."""
