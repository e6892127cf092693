"""App configuration: runs that compare own transactions with channel bills."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReconciliationConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.reconciliation"
    label = "reconciliation"
    verbose_name = _("Reconciliation")
