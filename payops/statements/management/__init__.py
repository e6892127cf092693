"""Commands of the statements."""
