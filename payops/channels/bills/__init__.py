"""Bill files: kept as received, checked, loaded into lines, accepted, held or rejected (DOMAIN 6)."""
