"""Two workers, and what they send each other."""
