"""App configuration: differences worked as cases until closed."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DiscrepanciesConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.discrepancies"
    label = "discrepancies"
    verbose_name = _("Discrepancies")

    def ready(self) -> None:
        """Make the action known to approvals, and the suspense check to the day end."""
        from payops.accounts.services import register_check
        from payops.discrepancies import checks
        from payops.discrepancies.services import execution

        execution.register()
        register_check(checks.CHECK, checks.check_suspense)
