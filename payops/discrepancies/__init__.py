"""Differences worked as cases until closed."""
