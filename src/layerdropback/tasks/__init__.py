"""The tasks that ship: what the lab compares without a line of the user's own."""
