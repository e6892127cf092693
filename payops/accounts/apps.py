"""App configuration: the ledger: subjects, accounts, vouchers, entries, posting and day end."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.accounts"
    label = "accounts"
    verbose_name = _("Ledger")
