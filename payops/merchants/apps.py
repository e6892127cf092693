"""App configuration: customers, merchants, contracts and settlement accounts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MerchantsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.merchants"
    label = "merchants"
    verbose_name = _("Merchants")

    def ready(self) -> None:
        """Make freezes of customers known to approvals, and to whoever asks what a merchant's user may do."""
        from payops.identity.blocks import register_block
        from payops.merchants import restrictions

        restrictions.register()
        register_block(restrictions.user_is_blocked)
