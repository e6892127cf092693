"""Transactions, refunds and their intake."""
