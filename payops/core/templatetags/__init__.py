"""Template filters of the core."""
