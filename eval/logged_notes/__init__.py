"""Note precision on logged failures: template notes before the decisive decision, compared with the reference."""
