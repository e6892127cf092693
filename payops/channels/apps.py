"""App configuration: channels, contracts, bill files and bank statements."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChannelsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.channels"
    label = "channels"
    verbose_name = _("Channels")

    def ready(self) -> None:
        """What of this app needs a second person is made known to approvals."""
        from payops.channels.bills import approvals

        approvals.register()
