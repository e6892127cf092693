"""What people decided about matches that no single row can carry."""

from django.db import models
from django.db.models import F
from django.db.models.functions import Greatest, Least
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.channels.models import ChannelContract
from payops.reconciliation.choices import ItemSide


class KeptApart(models.Model):
    """Two rows of one side that are no offset although they look like one; runs find each of them alone. Append-only.

    `one` and `other` are what the rows are called whatever file they stand in: of ours the record number, of a line its
    key, kind and trade number.
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="+")
    side = models.CharField(
        pgettext_lazy("open item", "side"), max_length=7, choices=[c for c in ItemSide.choices if c[0] != "pair"]
    )
    one = models.CharField(max_length=140)
    other = models.CharField(max_length=140)
    approval_id = models.BigIntegerField(_("request"), unique=True)
    made_by = models.CharField(_("made by"), max_length=150)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        app_label = "reconciliation"
        ordering = ["id"]
        verbose_name = _("pair kept apart")
        verbose_name_plural = _("pairs kept apart")
        constraints = [
            models.UniqueConstraint(
                "contract", "side", Least("one", "other"), Greatest("one", "other"), name="kept_apart_once"
            ),
            models.CheckConstraint(condition=~models.Q(one=F("other")), name="kept_apart_are_two"),
        ]

    def __str__(self) -> str:
        return f"{self.one} / {self.other}"
