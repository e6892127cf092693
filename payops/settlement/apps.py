"""App configuration: clearing, settlement, balance check and payouts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.settlement"
    label = "settlement"
    verbose_name = _("Settlement")

    def ready(self) -> None:
        """Tell those below which rows are cleared and since when, and what a payout is."""
        from payops.discrepancies.handlers import register_cleared_check
        from payops.reconciliation.matching.undo import register_dependent_check
        from payops.settlement import payouts
        from payops.settlement.dependents import cleared_since
        from payops.settlement.holds import row_is_cleared

        register_cleared_check(row_is_cleared)
        register_dependent_check(cleared_since)
        payouts.register()
