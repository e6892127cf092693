"""Every write of clearing and settlement, in one place to import from; payouts have their own module."""

from payops.settlement.balance import balance_check_run
from payops.settlement.clearing import clearing_run
from payops.settlement.sheets import settlement_run

__all__ = ["balance_check_run", "clearing_run", "settlement_run"]
