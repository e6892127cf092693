"""The timetable's memory: which step of which day ran, with what result (DOMAIN 4.6)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from payops.core.models import JobRun


class Step(models.TextChoices):
    """The steps of a day in their order."""

    CUT_OFF = "cut_off", _("Cut-off")
    INTAKE_CHECK = "intake_check", _("Intake check")
    CLOSE = "close", _("Close the day")
    BILLS = "bills", _("Bills")
    RUNS = "runs", _("Reconciliation runs")
    RECEIPTS = "receipts", _("Receipts")
    CLEARING = "clearing", _("Clearing")
    SETTLEMENT = "settlement", _("Settlement")
    BALANCE_CHECK = "balance_check", _("Balance check")
    PAYOUTS = "payouts", _("Payouts")
    STATEMENTS = "statements", _("Statements")


class StepState(models.TextChoices):
    """State of a step; `waiting` needs something from outside (a file, an approval), `failed` needs a person."""

    PENDING = "pending", _("Not yet")
    RUNNING = "running", _("Running")
    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class DayStep(models.Model):
    """One step of one business date; its last JobRun holds progress and log."""

    day = models.DateField(_("day"))
    step = models.CharField(_("step"), max_length=14, choices=Step.choices)
    state = models.CharField(_("state"), max_length=8, choices=StepState.choices, default=StepState.PENDING)
    job = models.ForeignKey(JobRun, on_delete=models.PROTECT, null=True, blank=True)
    summary = models.JSONField(_("summary"), default=dict)
    message = models.TextField(_("message"), blank=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        ordering = ["-day", "id"]
        verbose_name = _("day step")
        verbose_name_plural = _("day steps")
        constraints = [models.UniqueConstraint(fields=["day", "step"], name="day_step_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.step}"
