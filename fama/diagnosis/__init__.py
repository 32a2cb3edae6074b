"""Why an episode failed: taxonomy, detectors, analysts, orchestrator, mitigation."""
