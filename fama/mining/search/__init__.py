"""Searches for the minimal repair, over anything that can probe and run schedules."""
