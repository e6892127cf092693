"""App configuration: transactions, refunds and their intake."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.orders"
    label = "orders"
    verbose_name = _("Orders")

    def ready(self) -> None:
        """The ledger's day end asks orders whether every voucher has its source and the reverse."""
        from payops.accounts.services import register_check
        from payops.orders import checks

        register_check(checks.CHECK, checks.check_vouchers)
