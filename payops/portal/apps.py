"""App configuration: the merchant site."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PortalConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.portal"
    label = "portal"
    verbose_name = _("Portal")
