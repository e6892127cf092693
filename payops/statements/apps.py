"""App configuration: statements and reports merchants and finance download."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StatementsConfig(AppConfig):
    """Registers the app under its short label, and its reports."""

    name = "payops.statements"
    label = "statements"
    verbose_name = _("Statements")

    def ready(self) -> None:
        """Offer the reconciliations among the reports."""
        from payops.statements.check_reports import register

        register()
