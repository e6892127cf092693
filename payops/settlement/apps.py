"""App configuration: clearing, settlement, balance check and payouts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.settlement"
    label = "settlement"
    verbose_name = _("Settlement")

    def ready(self) -> None:
        """Tell discrepancies which rows are cleared, approvals and fund reconciliation what a payout is."""
        from payops.discrepancies.handlers import register_cleared_check
        from payops.settlement import payouts
        from payops.settlement.holds import row_is_cleared

        register_cleared_check(row_is_cleared)
        payouts.register()
