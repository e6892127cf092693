"""App configuration: statements and reports merchants and finance download."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StatementsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.statements"
    label = "statements"
    verbose_name = _("Statements")
