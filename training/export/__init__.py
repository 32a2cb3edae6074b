"""From a fitted router to a checkpoint: calibration, evaluation, card."""
