"""App configuration: runs that compare own transactions with channel bills."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReconciliationConfig(AppConfig):
    """Registers the app under its short label, and what it gives downward: handlers and the day-end check."""

    name = "payops.reconciliation"
    label = "reconciliation"
    verbose_name = _("Reconciliation")

    def ready(self) -> None:
        """Hook into cases, bill files and the day end."""
        from payops.accounts.services import register_check
        from payops.channels.bills.services import register_take_over_check
        from payops.discrepancies.services import register_resolution_handler, register_reversed_check
        from payops.reconciliation.bank import assignment as bank_assignment
        from payops.reconciliation.bank import checks as bank_checks
        from payops.reconciliation.checks import clearing_accounts_explained
        from payops.reconciliation.funds import allocation_approval, own_money, rule_approval
        from payops.reconciliation.matching import apart, hand, rules, undo
        from payops.reconciliation.services import mark_resolved, work_stands_on
        from payops.reconciliation.suspense import reversed_suspense

        register_resolution_handler(mark_resolved)
        register_reversed_check(reversed_suspense)
        register_take_over_check(work_stands_on)
        for action in (allocation_approval, rule_approval, own_money, hand, undo, apart, rules, bank_assignment):
            action.register()
        register_check("clearing_accounts_explained", clearing_accounts_explained)
        register_check(bank_checks.CHECK, bank_checks.bank_reconciled)
