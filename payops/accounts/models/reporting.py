"""What reports are made of: totals of a day by event and subject, and the classification that regroups them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.accounts.choices import Side, event_choices
from payops.accounts.models.books import Subject


class DayTotal(models.Model):
    """What one event booked under one subject on one closed day: the day summed up by business code, then by subject.

    Written by `close_day` from the entries, minor units, plain sums; a few hundred rows a day whatever the volume, so
    that reports over months read these and never the entries. Append-only.
    """

    pk = models.CompositePrimaryKey("day", "subject", "event", "currency")
    day = models.DateField(_("day"))
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="day_totals")
    event = models.PositiveSmallIntegerField(_("business code"), choices=event_choices)
    currency = models.CharField(_("currency"), max_length=3)
    debit = models.BigIntegerField(_("debit turnover (minor units)"))
    credit = models.BigIntegerField(_("credit turnover (minor units)"))
    debit_count = models.BigIntegerField(_("debit entries"))
    credit_count = models.BigIntegerField(_("credit entries"))

    class Meta:
        ordering = ["day", "subject", "event", "currency"]
        verbose_name = _("day total")
        verbose_name_plural = _("day totals")

    def __str__(self) -> str:
        return f"{self.day} {self.subject_id}/{self.event}"


class ClassificationCode(models.Model):
    """A classification code (归类码): what kind of business entries belong to, whatever chart they are booked under.

    Configuration, seeded from `fixtures/classification.yaml` by `classification_load`.
    """

    code = models.CharField(_("code"), max_length=20, unique=True)
    name = models.CharField(_("name"), max_length=80)
    name_zh = models.CharField(_("Chinese name"), max_length=80)

    class Meta:
        ordering = ["code"]
        verbose_name = _("classification code")
        verbose_name_plural = _("classification codes")

    def __str__(self) -> str:
        return self.code


class ClassificationRule(models.Model):
    """Which code an event's entries have: exactly one. Entries carry no product, so the event alone decides."""

    event = models.PositiveSmallIntegerField(_("event"), choices=event_choices, unique=True)
    code = models.ForeignKey(ClassificationCode, on_delete=models.PROTECT, related_name="rules")

    class Meta:
        ordering = ["event"]
        verbose_name = _("classification rule")
        verbose_name_plural = _("classification rules")

    def __str__(self) -> str:
        return f"{self.event} → {self.code_id}"


class ReportLine(models.Model):
    """One line of a report that is nothing but a mapping (of a regulator, of finance); `report` names the report."""

    report = models.CharField(_("report"), max_length=40)
    number = models.PositiveSmallIntegerField(_("line"))
    name = models.CharField(_("name"), max_length=80)
    name_zh = models.CharField(_("Chinese name"), max_length=80)

    class Meta:
        ordering = ["report", "number"]
        verbose_name = _("report line")
        verbose_name_plural = _("report lines")
        constraints = [models.UniqueConstraint(fields=["report", "number"], name="report_line_once")]

    def __str__(self) -> str:
        return f"{self.report} {self.number}"


class ReportTerm(models.Model):
    """What counts into a report line: turnover of one side, of one code, under a subject or what is below it."""

    line = models.ForeignKey(ReportLine, on_delete=models.CASCADE, related_name="terms")
    code = models.ForeignKey(ClassificationCode, on_delete=models.PROTECT, related_name="terms")
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="+")
    side = models.CharField(_("side"), max_length=1, choices=Side.choices)
    sign = models.SmallIntegerField(_("sign"))

    class Meta:
        ordering = ["line", "code", "subject", "side"]
        verbose_name = _("report term")
        verbose_name_plural = _("report terms")
        constraints = [
            models.UniqueConstraint(fields=["line", "code", "subject", "side"], name="report_term_once"),
            models.CheckConstraint(condition=Q(sign__in=[1, -1]), name="report_term_sign"),
        ]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.code_id} {self.subject_id} {self.side}"
