"""Where a step's time goes, and what dropping would spare of it."""
