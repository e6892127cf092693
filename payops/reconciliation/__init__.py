"""Runs that compare own transactions with channel bills."""
