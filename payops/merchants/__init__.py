"""Customers, merchants, contracts and settlement accounts."""
