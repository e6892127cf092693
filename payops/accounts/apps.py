"""App configuration: the ledger: subjects, accounts, vouchers, entries, posting and day end."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.accounts"
    label = "accounts"
    verbose_name = _("Ledger")

    def ready(self) -> None:
        """Make what needs a second person known to approvals."""
        from payops.accounts import (
            chart_files,
            corrections,
            document_checks,
            freeze_approval,
            manual,
            mode_approval,
            rule_approval,
            statuses,
        )
        from payops.accounts.checks import register_check

        chart_files.register()
        statuses.register()
        freeze_approval.register()
        rule_approval.register()
        mode_approval.register()
        corrections.register()
        manual.register()
        register_check(document_checks.CHECK, document_checks.check_documents)
