"""What runs did, as a page to read, print and send."""
