"""App configuration: transactions, refunds and their intake."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.orders"
    label = "orders"
    verbose_name = _("Orders")

    def ready(self) -> None:
        """The day end asks whether every voucher has its source and the reverse, channels what a day has of ours."""
        from payops.accounts.services import register_check
        from payops.channels.fetch.empty import register_own_count
        from payops.orders import checks
        from payops.orders.selectors import channel_day_successes

        register_check(checks.CHECK, checks.check_vouchers)
        register_own_count(channel_day_successes)
