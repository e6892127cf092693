"""App configuration: the JSON API."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ApiConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.api"
    label = "api"
    verbose_name = _("API")
