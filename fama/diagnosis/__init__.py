"""Diagnosis of failed episodes: taxonomy, detectors, analysts, orchestrator, mitigation."""
