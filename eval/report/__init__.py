"""Reports of comparisons: tables, figures, pages."""
