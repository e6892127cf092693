"""App configuration: maker-checker: frozen requests, decided by another person, executed once."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ApprovalsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.approvals"
    label = "approvals"
    verbose_name = _("Approvals")
