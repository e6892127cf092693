"""Statements and reports merchants and finance download."""
