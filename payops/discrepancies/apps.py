"""App configuration: differences worked as cases until closed."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DiscrepanciesConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.discrepancies"
    label = "discrepancies"
    verbose_name = _("Discrepancies")
