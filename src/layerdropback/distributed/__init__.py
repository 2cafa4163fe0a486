"""Several ranks: what they must agree on, and what they send."""
