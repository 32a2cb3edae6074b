"""Export of a fitted router: calibration, evaluation, card."""
