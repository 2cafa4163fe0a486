"""The command line: parsing and speaking, no work."""
