"""Bank receipts: the lines of the institution's bank statements (FORMATS 8)."""
