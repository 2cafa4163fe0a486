"""Callbacks for trainers that others wrote; each is imported by its own name."""
