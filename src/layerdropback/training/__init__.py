"""The trainer behind ``ldb train``."""
