"""Sample days: set-up, orders, bills and receipts of invented days, with planted differences and their answers."""
