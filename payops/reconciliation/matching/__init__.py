"""Matching beyond one key on one day: groups, offsets, claims, hand matches and suggestions (docs/matching.md)."""
