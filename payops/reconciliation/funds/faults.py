"""What concerns one line or channel only and must not keep the others from being booked."""

from typing import Final

ONE_LINE_FAULTS: Final = ("ledger.no_account", "ledger.account_closed", "business_days.not_seeded")
