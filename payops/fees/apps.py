"""App configuration: fee packages, rules and the fee engine."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FeesConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.fees"
    label = "fees"
    verbose_name = _("Fees")
