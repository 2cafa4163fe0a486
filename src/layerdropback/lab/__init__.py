"""Measuring: what a setting costs, what it gains, and against what."""
