"""Intake of the payment core's transactions (FORMATS 8): source → rows → one set-based load."""
