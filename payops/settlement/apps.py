"""App configuration: clearing, settlement, balance check and payouts."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.settlement"
    label = "settlement"
    verbose_name = _("Settlement")

    def ready(self) -> None:
        """Tell discrepancies which rows are cleared; payouts register themselves when imported."""
        from payops.discrepancies.handlers import register_cleared_check
        from payops.settlement.holds import row_is_cleared

        register_cleared_check(row_is_cleared)
        if find_spec("payops.settlement.payouts"):
            import_module("payops.settlement.payouts")
