"""A day's comparison in buckets of the matching key, which several workers compare (docs/reconciliation.md, Scale)."""
