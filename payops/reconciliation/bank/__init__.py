"""Bank reconciliation (账实, DOMAIN 7.1): the journal of a reserve account beside the bank's statement of it."""
