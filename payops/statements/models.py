"""Files merchants and finance download: made once, kept with their digest, byte-identical ever after (DOMAIN 13)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from payops.merchants.models import Merchant
from payops.settlement.models import SettlementSheet


class StatementFormat(models.TextChoices):
    """File formats offered."""

    CSV = "csv", "CSV"
    XLSX = "xlsx", "XLSX"


class Statement(models.Model):
    """One settlement statement of a merchant in one format, written by `statements_build`.

    `totals` are the figures printed on it, minor units; `snapshot` is what its head said on the day it was made (name,
    account, …), so that it can be made again byte for byte after a merchant has changed its name. `stored_path` is
    relative to PAYOPS_FILES_DIR.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="statements")
    sheet = models.ForeignKey(SettlementSheet, on_delete=models.PROTECT, related_name="statements")
    format = models.CharField(_("format"), max_length=5, choices=StatementFormat.choices)
    pay_date = models.DateField(_("pay date"))
    file_name = models.CharField(_("file name"), max_length=120)
    stored_path = models.CharField(max_length=300)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.BigIntegerField(_("size (bytes)"))
    rows = models.BigIntegerField(_("rows"))
    totals = models.JSONField(_("totals"))
    snapshot = models.JSONField(_("head of the statement"), default=dict)
    made_by = models.CharField(_("made by"), max_length=150, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-pay_date", "merchant", "format"]
        verbose_name = _("statement")
        verbose_name_plural = _("statements")
        constraints = [models.UniqueConstraint(fields=["sheet", "format"], name="statement_once")]

    def __str__(self) -> str:
        return self.file_name
