"""App configuration: the timetable of a day: which step runs when, resumable."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DayendConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.dayend"
    label = "dayend"
    verbose_name = _("Day end")
