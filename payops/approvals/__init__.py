"""Maker-checker: frozen requests, decided by another person, executed once."""
