"""App configuration: differences worked as cases until closed."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DiscrepanciesConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.discrepancies"
    label = "discrepancies"
    verbose_name = _("Discrepancies")

    def ready(self) -> None:
        """Make the action known to approvals, the suspense check to the day end, and cases to the ledger."""
        from payops.accounts.diverting import register_diversion_handler
        from payops.accounts.services import register_check
        from payops.discrepancies import checks, closed_accounts
        from payops.discrepancies.services import execution

        execution.register()
        register_check(checks.CHECK, checks.check_suspense)
        register_diversion_handler(closed_accounts.open_cases)
