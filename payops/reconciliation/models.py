"""Runs and what they found: results, open items carried from day to day, links, run vouchers, receipts (DOMAIN 7)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.accounts.choices import event_choices
from payops.channels.choices import BankLineKind
from payops.channels.models import BankAccount, BankLine, BillFile, ChannelContract
from payops.core.models import JobRun
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.bank.models import BankAssignment, BankAssignmentPart, BankOpenItem, BankReconciliation
from payops.reconciliation.buckets.models import RunBucket, RunSplit
from payops.reconciliation.choices import (
    AllocationKind,
    Direction,
    GroupBy,
    GroupKind,
    ItemSide,
    ItemState,
    ReceiptState,
    ResultKind,
    RunState,
)
from payops.reconciliation.matching.models import KeptApart

__all__ = [
    "BankAssignment",
    "BankAssignmentPart",
    "BankOpenItem",
    "BankReconciliation",
    "BankRule",
    "ChannelReceipt",
    "ExpectedMovement",
    "KeptApart",
    "MatchEnd",
    "MatchGroup",
    "MatchLink",
    "MatchMember",
    "MatchRule",
    "OpenItem",
    "ReceiptAllocation",
    "ReceiptDifference",
    "ReceiptPart",
    "ReconResult",
    "ReconRun",
    "RunBucket",
    "RunSplit",
    "RunVoucher",
]


class ReconRun(models.Model):
    """One numbered run over one contract, channel date and batch. Re-runs add numbers; every run keeps its result."""

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="runs")
    channel_date = models.DateField(_("channel date"))
    batch = models.PositiveSmallIntegerField(_("batch"), default=1)
    run_no = models.PositiveIntegerField(_("run number"))
    state = models.CharField(_("state"), max_length=8, choices=RunState.choices, default=RunState.RUNNING)
    is_current = models.BooleanField(_("current"), default=False)
    file = models.ForeignKey(BillFile, on_delete=models.PROTECT, related_name="runs", verbose_name=_("bill file"))
    own_count = models.BigIntegerField(_("own rows"), default=0)
    own_amount = models.BigIntegerField(_("own total (minor units)"), default=0)
    channel_count = models.BigIntegerField(_("channel lines"), default=0)
    channel_amount = models.BigIntegerField(_("channel total (minor units)"), default=0)
    matched_count = models.BigIntegerField(_("matched"), default=0)
    totals = models.JSONField(_("totals by kind"), default=dict)
    results = models.JSONField(_("results by kind"), default=dict)
    equation = models.JSONField(_("equation"), default=dict)
    job = models.ForeignKey(JobRun, on_delete=models.PROTECT, null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    started_at = models.DateTimeField(_("started at"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        ordering = ["-channel_date", "contract", "-run_no"]
        verbose_name = _("reconciliation run")
        verbose_name_plural = _("reconciliation runs")
        constraints = [
            models.UniqueConstraint(fields=["contract", "channel_date", "batch", "run_no"], name="recon_run_number"),
            models.UniqueConstraint(
                fields=["contract", "channel_date", "batch"], condition=Q(is_current=True), name="recon_run_one_current"
            ),
            models.CheckConstraint(
                condition=Q(is_current=False) | Q(state="complete"), name="recon_run_current_is_complete"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.channel_date} #{self.run_no}"


class OpenItem(models.Model):
    """One difference of a contract that is carried from run to run until its other half comes or an action ends it.

    `d` = channel − own in minor units, signed: what of this item stands on channel pending clearing (in doubt) or in
    suspense (definite). `first_date` is the channel date on which it was first seen, `cleared_date` that of the run
    that cleared it. A transaction or a bill line has at most one live item (partial unique indexes).
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="open_items")
    side = models.CharField(pgettext_lazy("open item", "side"), max_length=7, choices=ItemSide.choices)
    result = models.CharField(_("result"), max_length=18, choices=ResultKind.choices)
    state = models.CharField(_("state"), max_length=9, choices=ItemState.choices)
    match_key = models.CharField(_("matching key"), max_length=64)
    kind = models.PositiveSmallIntegerField(_("kind"))
    transaction_id = models.BigIntegerField(_("transaction"), null=True, blank=True)
    bill_line_id = models.BigIntegerField(_("bill line"), null=True, blank=True)
    own_amount = models.BigIntegerField(_("own amount (minor units)"), default=0)
    channel_amount = models.BigIntegerField(_("channel amount (minor units)"), default=0)
    d = models.BigIntegerField(_("difference (minor units)"))
    fee_claim = models.BigIntegerField(_("fee claimed from the channel (minor units)"), default=0)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    identity = models.CharField(max_length=40, editable=False)
    first_date = models.DateField(_("first seen"))
    definite_date = models.DateField(_("definite since"), null=True, blank=True)
    cleared_date = models.DateField(_("cleared on"), null=True, blank=True)
    first_run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, related_name="items_first_seen")
    definite_run = models.ForeignKey(
        ReconRun, on_delete=models.PROTECT, null=True, blank=True, related_name="items_made_definite"
    )
    cleared_run = models.ForeignKey(
        ReconRun, on_delete=models.PROTECT, null=True, blank=True, related_name="items_cleared"
    )
    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, null=True, blank=True, related_name="items")
    evidence = models.JSONField(_("evidence"), default=dict)

    class Meta:
        ordering = ["id"]
        verbose_name = _("open item")
        verbose_name_plural = _("open items")
        constraints = [
            models.UniqueConstraint(
                fields=["transaction_id"],
                condition=Q(state__in=["in_doubt", "definite"], transaction_id__isnull=False),
                name="open_item_one_per_transaction",
            ),
            models.UniqueConstraint(
                fields=["bill_line_id"],
                condition=Q(state__in=["in_doubt", "definite"], bill_line_id__isnull=False),
                name="open_item_one_per_line",
            ),
            models.CheckConstraint(
                condition=~Q(state="cleared") | Q(cleared_date__isnull=False, cleared_run__isnull=False),
                name="open_item_cleared_by_a_run",
            ),
        ]
        indexes = [
            models.Index(fields=["contract", "state"], name="open_item_pool_idx"),
            models.Index(fields=["contract", "first_date"], name="open_item_first_idx"),
            models.Index(fields=["contract", "cleared_date"], name="open_item_cleared_idx"),
            models.Index(fields=["transaction_id"], condition=Q(state="cleared"), name="open_item_matched_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.match_key} {self.result}"


class ReconResult(models.Model):
    """One difference as one run saw it; matched rows are implicit (what is not here is matched)."""

    run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, related_name="result_rows")
    kind = models.CharField(_("result"), max_length=18, choices=ResultKind.choices)
    item = models.ForeignKey(OpenItem, on_delete=models.PROTECT, null=True, blank=True, related_name="results")
    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, null=True, blank=True)
    match_key = models.CharField(_("matching key"), max_length=64)
    transaction_id = models.BigIntegerField(_("transaction"), null=True, blank=True)
    bill_line_id = models.BigIntegerField(_("bill line"), null=True, blank=True)
    own_amount = models.BigIntegerField(_("own amount (minor units)"), default=0)
    channel_amount = models.BigIntegerField(_("channel amount (minor units)"), default=0)
    own_fee = models.BigIntegerField(_("expected fee (minor units)"), default=0)
    channel_fee = models.BigIntegerField(_("channel fee (minor units)"), default=0)
    d = models.BigIntegerField(_("difference (minor units)"), default=0)
    detail = models.JSONField(_("detail"), default=dict)

    class Meta:
        ordering = ["run", "id"]
        verbose_name = _("reconciliation result")
        verbose_name_plural = _("reconciliation results")
        indexes = [models.Index(fields=["run", "kind"], name="recon_result_kind_idx")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.kind} {self.match_key}"


class MatchLink(models.Model):
    """A match of one with one that is not implicit in one day's join: a half that came on another day."""

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT)
    transaction_id = models.BigIntegerField(unique=True)
    bill_line_id = models.BigIntegerField(unique=True)
    run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, null=True, related_name="links")
    why = models.CharField(max_length=20)

    class Meta:
        ordering = ["id"]
        verbose_name = _("match link")
        verbose_name_plural = _("match links")

    def __str__(self) -> str:
        return f"{self.transaction_id} = {self.bill_line_id}"


class MatchRule(models.Model):
    """One version of how a contract's rows are matched beyond their key (DOMAIN 7.2). Rows are only added.

    Of the versions whose `effective_from` is not after a channel date the latest counts for that date, whenever it is
    run; without one the contract's own fee tolerance does, and nothing else is tolerated. Amounts are minor units.
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="match_rules")
    version = models.PositiveIntegerField(_("version"))
    effective_from = models.DateField(_("effective from"))
    group_by = models.CharField(_("grouped by"), max_length=8, choices=GroupBy.choices, default=GroupBy.NONE)
    fee_tolerance = models.BigIntegerField(_("fee tolerance (minor units)"), default=0)
    amount_tolerance = models.BigIntegerField(_("amount tolerance by hand (minor units)"), default=0)
    made_by = models.CharField(_("made by"), max_length=150)
    approval_id = models.BigIntegerField(_("request"))
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["contract", "-version"]
        verbose_name = _("matching rule")
        verbose_name_plural = _("matching rules")
        constraints = [
            models.UniqueConstraint(fields=["contract", "version"], name="match_rule_version"),
            models.CheckConstraint(
                condition=Q(fee_tolerance__gte=0, amount_tolerance__gte=0), name="match_rule_tolerates_no_less_than_0"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} v{self.version}"


class MatchGroup(models.Model):
    """Rows of both sides that belong together without sharing one key: the claim of all its members. Append-only.

    `own_amount` and `channel_amount` are the gross sums of its members, signed, in minor units; where they differ, one
    stands with one and `rule` is the version that tolerates it. A group ends by a row of MatchEnd.
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="match_groups")
    kind = models.CharField(_("kind"), max_length=8, choices=GroupKind.choices)
    own_amount = models.BigIntegerField(_("own amount (minor units)"))
    channel_amount = models.BigIntegerField(_("channel amount (minor units)"))
    difference = models.BigIntegerField(_("difference (minor units)"))
    rule = models.ForeignKey(MatchRule, on_delete=models.PROTECT, null=True, blank=True)
    why = models.JSONField(_("why"), default=dict)
    run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, null=True, blank=True, related_name="groups")
    approval_id = models.BigIntegerField(_("request"), null=True, blank=True)
    made_by = models.CharField(_("made by"), max_length=150)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("match group")
        verbose_name_plural = _("match groups")
        constraints = [
            models.CheckConstraint(
                condition=Q(difference=F("channel_amount") - F("own_amount")), name="match_group_difference"
            ),
            models.CheckConstraint(
                condition=Q(difference=0) | Q(kind="by_hand", rule__isnull=False),
                name="match_group_is_exact_or_tolerated",
            ),
            models.CheckConstraint(
                condition=Q(kind="by_hand", approval_id__isnull=False) | ~Q(kind="by_hand") & Q(run__isnull=False),
                name="match_group_by_a_run_or_approved",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class MatchMember(models.Model):
    """One row claimed by a group. `is_live` goes off by the database when the group ends, and by nothing else."""

    group = models.ForeignKey(MatchGroup, on_delete=models.PROTECT, related_name="members")
    side = models.CharField(
        pgettext_lazy("open item", "side"), max_length=7, choices=[c for c in ItemSide.choices if c[0] != "pair"]
    )
    row_id = models.BigIntegerField(_("transaction or bill line"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    is_live = models.BooleanField(default=True, editable=False)

    class Meta:
        ordering = ["group", "id"]
        verbose_name = _("member of a match group")
        verbose_name_plural = _("members of match groups")
        constraints = [
            models.UniqueConstraint(
                fields=["side", "row_id"], condition=Q(is_live=True), name="match_member_claims_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.row_id}"


class MatchEnd(models.Model):
    """That a group counts no more, and why: a run did not find it, its line stands in another file, two people did it.

    `approval_id` is the request that took a match by hand back, executed in the transaction that ended it.
    """

    group = models.OneToOneField(MatchGroup, on_delete=models.PROTECT, related_name="end")
    run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    why = models.CharField(_("why"), max_length=20)
    approval_id = models.BigIntegerField(_("request"), null=True, blank=True, unique=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("end of a match group")
        verbose_name_plural = _("ends of match groups")
        constraints = [
            models.CheckConstraint(
                condition=Q(why="taken back", approval_id__isnull=False)
                | ~Q(why="taken back") & Q(approval_id__isnull=True),
                name="match_end_taken_back_is_approved",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group_id} {self.why}"


class RunVoucher(models.Model):
    """What one run booked under one rule: a total, new less what earlier runs of the same day booked already.

    The source document of the run's vouchers; `amounts` are the rule's variables in minor units.
    """

    run = models.ForeignKey(ReconRun, on_delete=models.PROTECT, related_name="vouchers")
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT)
    channel_date = models.DateField(_("channel date"))
    batch = models.PositiveSmallIntegerField(default=1)
    event = models.PositiveSmallIntegerField(_("rule"), choices=event_choices)
    merchant_no = models.CharField(_("merchant"), max_length=40, blank=True)
    amounts = models.JSONField(_("amounts"))
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)

    class Meta:
        ordering = ["run", "id"]
        verbose_name = _("run voucher")
        verbose_name_plural = _("run vouchers")
        constraints = [
            models.UniqueConstraint(fields=["run", "event", "merchant_no"], name="run_voucher_one_per_rule"),
        ]
        indexes = [models.Index(fields=["contract", "channel_date", "batch"], name="run_voucher_day_idx")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.get_event_display()}"


class ChannelReceipt(models.Model):
    """The money of one contract and channel date: what the bill says is due, what the bank received."""

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="receipts")
    channel_date = models.DateField(_("channel date"))
    due = models.BigIntegerField(_("due by the bill (minor units)"), default=0)
    received = models.BigIntegerField(_("received (minor units)"), default=0)
    short_booked = models.BigIntegerField(_("difference booked to suspense (minor units)"), default=0)
    due_date = models.DateField(_("due date"))
    state = models.CharField(_("state"), max_length=9, choices=ReceiptState.choices, default=ReceiptState.WAITING)
    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        ordering = ["-channel_date", "contract"]
        verbose_name = _("channel receipt")
        verbose_name_plural = _("channel receipts")
        constraints = [models.UniqueConstraint(fields=["contract", "channel_date"], name="channel_receipt_once")]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.channel_date}"


class ReceiptAllocation(models.Model):
    """One way a settlement line was divided among the channel days of its contract; a later one takes its place.

    Rows are only added, and only `is_current` ever changes. `attributed` is False where the difference between the line
    and the bills belongs to its days together and to no single one (DOMAIN 11.4).
    """

    bank_line = models.ForeignKey(BankLine, on_delete=models.PROTECT, related_name="allocations")
    number = models.PositiveSmallIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=6, choices=AllocationKind.choices)
    attributed = models.BooleanField(_("difference attributed"), default=True)
    is_current = models.BooleanField(_("current"), default=True)
    made_by = models.CharField(_("made by"), max_length=150)
    approval_id = models.BigIntegerField(_("request"), null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["bank_line", "number"]
        verbose_name = _("receipt allocation")
        verbose_name_plural = _("receipt allocations")
        constraints = [
            models.UniqueConstraint(fields=["bank_line", "number"], name="receipt_allocation_number"),
            models.UniqueConstraint(
                fields=["bank_line"], condition=models.Q(is_current=True), name="receipt_allocation_one_current"
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="person") | models.Q(approval_id__isnull=False),
                name="receipt_allocation_by_hand_is_approved",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bank_line_id} #{self.number}"


class ReceiptPart(models.Model):
    """What of a settlement line pays one channel day (minor units). The parts of an allocation add up to its line."""

    allocation = models.ForeignKey(ReceiptAllocation, on_delete=models.PROTECT, related_name="parts")
    receipt = models.ForeignKey(ChannelReceipt, on_delete=models.PROTECT, related_name="parts")
    amount = models.BigIntegerField(_("amount (minor units)"))

    class Meta:
        ordering = ["allocation", "id"]
        verbose_name = _("part of a receipt")
        verbose_name_plural = _("parts of receipts")
        constraints = [
            models.UniqueConstraint(fields=["allocation", "receipt"], name="receipt_part_one_per_day"),
        ]

    def __str__(self) -> str:
        return f"{self.receipt_id} {self.amount}"


class ReceiptDifference(models.Model):
    """One booking of a difference between receipt and bill: the source document of its voucher.

    `amount` is minor units: positive short of the bill, negative over it; a later receipt books the opposite sign.
    """

    receipt = models.ForeignKey(ChannelReceipt, on_delete=models.PROTECT, related_name="differences")
    amount = models.BigIntegerField(_("amount (minor units)"))
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["receipt", "id"]
        verbose_name = _("receipt difference")
        verbose_name_plural = _("receipt differences")

    def __str__(self) -> str:
        return f"{self.receipt_id} {self.amount}"


class BankRule(models.Model):
    """One version of a rule that says what a line of a bank account is (DOMAIN 7.4). Rows are only added.

    The current, active rules are tried by priority; the first whose conditions all hold decides. An ended rule is a
    version that is not active. Amounts are minor units without sign.
    """

    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="rules")
    name = models.CharField(_("rule"), max_length=60)
    version = models.PositiveIntegerField(_("version"), default=1)
    priority = models.PositiveSmallIntegerField(_("priority"))
    direction = models.CharField(_("direction"), max_length=3, choices=Direction.choices, default=Direction.ANY)
    counterparty = models.CharField(_("counterparty contains"), max_length=120, blank=True)
    memo_pattern = models.CharField(_("memo pattern"), max_length=200, blank=True)
    min_amount = models.BigIntegerField(_("smallest amount (minor units)"), null=True, blank=True)
    max_amount = models.BigIntegerField(_("largest amount (minor units)"), null=True, blank=True)
    kind = models.CharField(_("is then"), max_length=10, choices=BankLineKind.choices)
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, null=True, blank=True)
    active = models.BooleanField(_("active"), default=True)
    is_current = models.BooleanField(_("current"), default=True)
    made_by = models.CharField(_("made by"), max_length=150)
    approval_id = models.BigIntegerField(_("request"))
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["bank_account", "priority", "id"]
        verbose_name = _("bank rule")
        verbose_name_plural = _("bank rules")
        constraints = [
            models.UniqueConstraint(fields=["bank_account", "name", "version"], name="bank_rule_version"),
            models.UniqueConstraint(
                fields=["bank_account", "name"], condition=Q(is_current=True), name="bank_rule_one_current"
            ),
            models.UniqueConstraint(
                fields=["bank_account", "priority"],
                condition=Q(is_current=True, active=True),
                name="bank_rule_priority_once",
            ),
            models.CheckConstraint(
                condition=~(Q(counterparty="") & Q(memo_pattern="")), name="bank_rule_has_a_condition"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class ExpectedMovement(models.Model):
    """A movement settlement expects on a bank account (payout, return), registered downward for fund reconciliation."""

    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT)
    reference = models.CharField(_("our number"), max_length=40)
    kind = models.CharField(_("kind"), max_length=10)
    amount = models.BigIntegerField(_("amount (minor units, + = in)"))
    expected_on = models.DateField(_("expected on"))
    bank_line_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("expected bank movement")
        verbose_name_plural = _("expected bank movements")
        constraints = [models.UniqueConstraint(fields=["reference", "kind"], name="expected_movement_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"
