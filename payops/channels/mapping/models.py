"""Versions of mapped formats (docs/mapping.md)."""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from payops.approvals.models import ApprovalRequest

CODE = RegexValidator(r"^[a-z0-9][a-z0-9_-]{0,15}\Z", _("Lower-case letters, digits, - and _, at most 16."))


class FormatMapping(models.Model):
    """One version of how a channel's own file is read; written by an approved request only. Append-only.

    `spec` is checked by `formats.generic_spec.spec_of`. The latest version of a code is the one in force; a file
    remembers the version it was read with.
    """

    code = models.CharField(_("code"), max_length=16, validators=[CODE])
    name = models.CharField(_("name"), max_length=60)
    version = models.PositiveIntegerField(_("version"))
    spec = models.JSONField(_("mapping"))
    made_by = models.CharField(_("made by"), max_length=150)
    approval = models.OneToOneField(
        ApprovalRequest, on_delete=models.PROTECT, related_name="+", verbose_name=_("request")
    )
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["code", "-version"]
        verbose_name = _("mapped format")
        verbose_name_plural = _("mapped formats")
        constraints = [models.UniqueConstraint(fields=["code", "version"], name="format_mapping_version")]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"

    @property
    def format_code(self) -> str:
        """What a bill file read with this version remembers."""
        return f"generic:{self.code}@{self.version}"
