"""Clearing, settlement, balance check and payouts."""
