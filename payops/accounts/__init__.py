"""The ledger: subjects, accounts, vouchers, entries, posting and day end."""
