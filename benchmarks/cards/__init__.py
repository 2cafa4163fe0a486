"""Tools: cards from runs, and pages from cards."""
