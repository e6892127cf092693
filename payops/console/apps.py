"""App configuration: the staff site."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConsoleConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.console"
    label = "console"
    verbose_name = _("Console")
