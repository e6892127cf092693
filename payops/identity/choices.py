"""Roles of users: what kind of staff, and which part in a merchant's team."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a user is. Operations proposes, finance approves, an auditor sees everything and changes nothing."""

    OPERATIONS = "operations", _("Operations")
    FINANCE = "finance", _("Finance")
    AUDITOR = "auditor", _("Auditor")
    ADMIN = "admin", _("Administrator")
    MERCHANT = "merchant", _("Merchant")


class MerchantRole(models.TextChoices):
    """What a merchant's user may do in the portal."""

    ADMINISTRATOR = "administrator", _("Merchant administrator")
    MAKER = "maker", _("Maker")
    CHECKER = "checker", _("Checker")
    VIEWER = "viewer", _("Viewer")
