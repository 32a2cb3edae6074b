"""Fitted models of a failure's category, party and step, compared with the rule that detectors are merged by."""
