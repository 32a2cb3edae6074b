"""Evidence detectors: one file each, deterministic, no model."""
