"""A comparison in buckets: what all of them are told, and what each of them found."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.channels.models import BillFile, ChannelContract
from payops.core.models import JobRun

MOST_BUCKETS = 64


class RunSplit(models.Model):
    """One channel day divided into buckets of the matching key, so that several workers compare it.

    Written before its buckets are compared and never changed, but for `run`: the run that took their results, set once,
    when all of them are there and every line of the bill is in exactly one (trigger). A split that another run overtook
    stays without. `inputs` is everything the comparison of a bucket is told, so that equal inputs over the same rows of
    ours mean the same result.
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="+")
    channel_date = models.DateField(_("channel date"))
    batch = models.PositiveSmallIntegerField(_("batch"), default=1)
    file = models.ForeignKey(BillFile, on_delete=models.PROTECT, related_name="+", verbose_name=_("bill file"))
    buckets = models.PositiveSmallIntegerField(_("buckets"))
    inputs = models.JSONField()
    job = models.ForeignKey(JobRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    run = models.OneToOneField(
        "reconciliation.ReconRun", on_delete=models.PROTECT, null=True, blank=True, related_name="split"
    )
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("run in buckets")
        verbose_name_plural = _("runs in buckets")
        constraints = [
            models.CheckConstraint(condition=Q(buckets__gte=2, buckets__lte=MOST_BUCKETS), name="run_split_buckets"),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.channel_date} / {self.buckets}"


class RunBucket(models.Model):
    """What one comparison of one bucket found: sums, and the ids of what does not match. Append-only.

    Of several of a bucket the one with the highest `turn` counts: a run compares a bucket again when its own rows are
    no longer those it saw. They are told by their number, a hash over their ids and states, and the highest id.
    """

    split = models.ForeignKey(RunSplit, on_delete=models.PROTECT, related_name="results")
    bucket = models.PositiveSmallIntegerField(_("bucket"))
    turn = models.PositiveSmallIntegerField(_("turn"), default=1)
    own_count = models.BigIntegerField(_("own rows"))
    own_mark = models.BigIntegerField(_("mark of the own rows"))
    own_last = models.BigIntegerField(_("highest own id"))
    line_count = models.BigIntegerField(_("channel lines"))
    joined = models.JSONField()
    milliseconds = models.PositiveIntegerField(_("milliseconds"))
    job = models.ForeignKey(JobRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["split", "bucket", "turn"]
        verbose_name = _("bucket of a run")
        verbose_name_plural = _("buckets of a run")
        constraints = [
            models.UniqueConstraint(fields=["split", "bucket", "turn"], name="run_bucket_compared_once"),
        ]

    def __str__(self) -> str:
        return f"{self.split_id} {self.bucket}"
