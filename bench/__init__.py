"""Measurements against a baseline in the same run; figures land in bench/results."""
