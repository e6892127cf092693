"""App configuration: clearing, settlement, balance check and payouts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.settlement"
    label = "settlement"
    verbose_name = _("Settlement")
