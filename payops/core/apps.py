"""App configuration: money, day-coded ids, business days, jobs, encryption and exports every other app stands on."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.core"
    label = "core"
    verbose_name = _("Core")
