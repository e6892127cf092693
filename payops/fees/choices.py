"""Value sets of fees (DOMAIN 10)."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RefundPolicy(models.TextChoices):
    """What happens to the fee of a payment that is refunded."""

    KEPT = "kept", _("Fee kept")
    FULL = "full", _("Returned in full on full refund")
    PRO_RATA = "pro_rata", _("Returned pro rata")
