"""App configuration: customers, merchants, contracts and settlement accounts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MerchantsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.merchants"
    label = "merchants"
    verbose_name = _("Merchants")
