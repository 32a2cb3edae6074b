"""Values: ids, amounts and dates, and where each came from."""
