"""The look of the staff console's shell. Its navigation stands in ``payops.console``."""

from __future__ import annotations

from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

__all__ = ["UNFOLD"]

UNFOLD = {
    "SITE_TITLE": "payops",
    "SITE_HEADER": "payops",
    "SITE_SUBHEADER": _("Reconciliation and settlement"),
    "SITE_URL": reverse_lazy("home"),
    "SITE_SYMBOL": "account_balance",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "BORDER_RADIUS": "4px",
    "SIDEBAR": {"show_search": False, "show_all_applications": False},
}
