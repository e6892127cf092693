"""App configuration: channels, contracts, bill files and bank statements."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChannelsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.channels"
    label = "channels"
    verbose_name = _("Channels")

    def ready(self) -> None:
        """What of this app needs a second person is made known to approvals; late bills are findings of the day end."""
        from payops.accounts.services import register_check
        from payops.channels.bills import approvals
        from payops.channels.fetch import approval as file_sources
        from payops.channels.fetch import empty, late
        from payops.channels.mapping import approval as mappings

        for action in (approvals, file_sources, empty, mappings):
            action.register()
        register_check(late.CHECK, late.check_bills_late)
