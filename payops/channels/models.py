"""Channels, their contracts, bill files with their lines, and bank statement lines (DOMAIN 6, 7.4)."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from payops.channels.choices import (
    BankAccountKind,
    BankLineKind,
    BankLineState,
    BillType,
    CostMode,
    FileState,
    RefundDate,
)
from payops.channels.fetch.models import EmptyDay, FetchAttempt, FileSource
from payops.channels.mapping.models import FormatMapping
from payops.core.key_digest import KeyDigest, KeyField
from payops.core.partitions import DayPartitionedModel
from payops.core.sql import NO_TRUNCATE
from payops.fees.models import FeePackage

__all__ = [
    "BankAccount",
    "BankLine",
    "BankStatement",
    "BillFile",
    "BillLine",
    "Channel",
    "ChannelContract",
    "EmptyDay",
    "FetchAttempt",
    "FileSource",
    "FormatMapping",
]


class BankAccount(models.Model):
    """A bank account of the institution; has its own ledger account (owner kind bank)."""

    code = models.CharField(_("code"), max_length=30, unique=True)
    bank_name = models.CharField(_("bank"), max_length=80)
    account_no = models.CharField(_("account number"), max_length=40, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=BankAccountKind.choices)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        verbose_name = _("bank account")
        verbose_name_plural = _("bank accounts")

    def __str__(self) -> str:
        return self.code


class Channel(models.Model):
    """Who carries the payment (UnionPay, WeChat Pay, Alipay, …)."""

    code = models.CharField(_("code"), max_length=30, unique=True)
    name = models.CharField(_("name"), max_length=80)
    name_zh = models.CharField(_("Chinese name"), max_length=80, blank=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        verbose_name = _("channel")
        verbose_name_plural = _("channels")

    def __str__(self) -> str:
        return self.code


class ChannelContract(models.Model):
    """One account (merchant number) at a channel and its terms: the unit of files, runs and ledger accounts.

    `code` is what commands take as --channel and the owner number of its ledger accounts. Changes of cut-off, cost or
    settlement terms are history, never edits of a past day.
    """

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="contracts")
    code = models.CharField(_("code"), max_length=40, unique=True)
    account_no = models.CharField(_("our number at the channel"), max_length=40)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    bill_format = models.CharField(_("bill format"), max_length=30)
    format_options = models.JSONField(_("format options"), default=dict, blank=True)
    cut_off = models.TimeField(_("channel cut-off"), help_text=_("00:00 stands for 24:00"))
    doubt_margin_minutes = models.PositiveSmallIntegerField(_("in-doubt margin (minutes)"), default=10)
    refund_date = models.CharField(
        _("refund date"), max_length=10, choices=RefundDate.choices, default=RefundDate.COMPLETION
    )
    cost_mode = models.CharField(_("cost"), max_length=7, choices=CostMode.choices, default=CostMode.NETTED)
    cost_package = models.ForeignKey(FeePackage, on_delete=models.PROTECT, null=True, blank=True)
    fee_tolerance = models.BigIntegerField(_("fee tolerance (minor units)"), default=0)
    escalate_after_days = models.PositiveSmallIntegerField(_("escalate after T+n"), default=2)
    settle_days = models.PositiveSmallIntegerField(_("channel settles T+n"), default=1)
    reserve_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="contracts")
    receipt_pattern = models.CharField(
        _("receipt pattern"),
        max_length=200,
        blank=True,
        help_text=_("Regular expression over counterparty and memo with the group <date> (YYYYMMDD)."),
    )
    receivable_allowed = models.BooleanField(_("settle merchants on the receivable"), default=False)
    clear_without_run = models.BooleanField(_("settle merchants before the bill"), default=False)
    active = models.BooleanField(_("active"), default=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        verbose_name = _("channel contract")
        verbose_name_plural = _("channel contracts")
        constraints = [
            models.UniqueConstraint(fields=["channel", "account_no"], name="contract_account_once"),
        ]

    def __str__(self) -> str:
        return self.code


class BillFile(models.Model):
    """A file as received for one contract and channel day, kept with its digest; a later one is version n+1.

    Its lines are the id range (first_line_id … last_line_id) of BillLine. At most one file of a contract, day, batch
    and type is accepted at a time (partial unique index): an account log never takes the place of the bill. What a
    file is (contract, day, batch, type, version, bytes) never changes (trigger).
    """

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="files")
    channel_date = models.DateField(_("channel date"))
    batch = models.PositiveSmallIntegerField(_("batch"), default=1)
    bill_type = models.CharField(_("type"), max_length=12, choices=BillType.choices, default=BillType.TRADE)
    bill_format = models.CharField(
        _("format"), max_length=30, blank=True, help_text=_("Read as; empty for the bill format of the contract.")
    )
    version = models.PositiveSmallIntegerField(_("version"))
    state = models.CharField(_("state"), max_length=10, choices=FileState.choices, default=FileState.RECEIVED)
    original_name = models.CharField(_("file name"), max_length=200)
    stored_path = models.CharField(max_length=300)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.BigIntegerField(_("size (bytes)"))
    source = models.CharField(_("source"), max_length=20, default="upload")
    received_by = models.CharField(_("received by"), max_length=150, blank=True)
    received_at = models.DateTimeField(_("received at"), auto_now_add=True)
    day_file_no = models.PositiveIntegerField(_("file of the day"), null=True)
    line_count = models.BigIntegerField(_("lines"), default=0)
    proven = models.BooleanField(_("proven by totals"), default=False)
    totals = models.JSONField(_("totals"), default=dict)
    bad_lines = models.JSONField(_("quarantined lines"), default=list)
    error_code = models.CharField(_("error code"), max_length=60, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("bill file")
        verbose_name_plural = _("bill files")
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "channel_date", "batch", "bill_type", "version"], name="bill_file_version"
            ),
            # A rejected file may be sent again (the rejection may have been ours), and so may one that is now read
            # another way; anything else is a duplicate.
            models.UniqueConstraint(
                fields=["contract", "channel_date", "batch", "bill_type", "bill_format", "sha256"],
                condition=~Q(state="rejected"),
                name="bill_file_digest_once",
            ),
            models.UniqueConstraint(
                fields=["contract", "channel_date", "batch", "bill_type"],
                condition=Q(state="accepted"),
                name="bill_file_one_accepted",
            ),
            models.UniqueConstraint(fields=["channel_date", "day_file_no"], name="bill_file_day_number"),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.channel_date} v{self.version}"

    @property
    def was_read(self) -> bool:
        """Whether it was read into lines, whatever was decided then; a file being read has its number already."""
        return self.day_file_no is not None and self.state != FileState.RECEIVED

    @property
    def format_code(self) -> str:
        """The format the file is read with."""
        return self.bill_format or self.contract.bill_format


class BillLine(DayPartitionedModel):
    """One normalised line of a bill file. id = channel day·10¹² + file of the day·10⁸ + line number. Append-only.

    amount ≥ 0 (direction comes from `kind`), settled_amount signed net to us, fee signed (+ = we pay), minor units.
    COPY writes an absent cell as NULL, so the optional texts are nullable.
    """

    contract_id = models.IntegerField()
    kind = models.PositiveSmallIntegerField(_("kind"))
    match_key = KeyField(_("matching key"), max_length=64)
    trade_no = models.CharField(_("channel trade number"), max_length=64)
    order_no = models.CharField(_("order number"), max_length=64, null=True)  # noqa: DJ001
    request_no = models.CharField(_("refund request number"), max_length=64, null=True)  # noqa: DJ001
    original_trade_no = models.CharField(_("original trade number"), max_length=64, null=True)  # noqa: DJ001
    status = models.CharField(_("status"), max_length=16)
    amount = models.BigIntegerField(_("amount (minor units)"))
    settled_amount = models.BigIntegerField(_("settled amount (minor units)"))
    fee = models.BigIntegerField(_("fee (minor units)"))
    rate = models.CharField(_("rate"), max_length=16, null=True)  # noqa: DJ001
    currency = models.CharField(_("currency"), max_length=3)
    occurred_at = models.DateTimeField(_("occurred at"))
    payer_masked = models.CharField(_("payer"), max_length=64, null=True)  # noqa: DJ001
    row_hash = models.BigIntegerField()

    partition_triggers: ClassVar[list[str]] = [NO_TRUNCATE]
    # Files 0–4999 of a day share its partition; those from 5000 on have one of their own each.
    partition_span: ClassVar[int] = 5 * 10**11

    class Meta:
        ordering = ["id"]
        verbose_name = _("bill line")
        verbose_name_plural = _("bill lines")
        indexes = [models.Index(KeyDigest("match_key"), name="bill_line_digest_idx")]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def line_no(self) -> int:
        """Line number within its file."""
        return self.pk % 10**8


class BankStatement(models.Model):
    """One statement of the bank over one of our accounts, as it proved itself when it was loaded. Append-only.

    Its entries are bank lines. opening + credits − debits = closing (CHECK), in minor units; credits and debits are the
    sums of the booked entries, both without sign. `number` is the bank's own; `sequence` its numeric part, which has no
    gaps within a year.
    """

    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="statements")
    statement_date = models.DateField(_("statement date"))
    number = models.CharField(_("statement number"), max_length=40)
    sequence = models.PositiveIntegerField(_("sequence"), null=True, blank=True)
    opening = models.BigIntegerField(_("opening balance (minor units)"))
    credits = models.BigIntegerField(_("credits (minor units)"))
    debits = models.BigIntegerField(_("debits (minor units)"))
    closing = models.BigIntegerField(_("closing balance (minor units)"))
    currency = models.CharField(_("currency"), max_length=3)
    entry_count = models.PositiveIntegerField(_("entries"))
    pending = models.JSONField(_("entries announced, not booked"), default=list, blank=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    loaded_at = models.DateTimeField(_("loaded at"), auto_now_add=True)

    class Meta:
        ordering = ["-statement_date", "-id"]
        verbose_name = _("bank statement")
        verbose_name_plural = _("bank statements")
        constraints = [
            models.UniqueConstraint(fields=["bank_account", "statement_date", "number"], name="bank_statement_once"),
            models.CheckConstraint(
                condition=Q(closing=F("opening") + F("credits") - F("debits")), name="bank_statement_adds_up"
            ),
            models.CheckConstraint(condition=Q(credits__gte=0, debits__gte=0), name="bank_statement_unsigned"),
        ]

    def __str__(self) -> str:
        return f"{self.bank_account_id} {self.statement_date} {self.number}"


class BankLine(models.Model):
    """One line of a bank statement of ours, unique by the bank's reference per account.

    It names the file and row it first came from, and the statement that proves it once there is one; neither changes.
    """

    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="lines")
    value_date = models.DateField(_("value date"))
    reference = models.CharField(_("bank reference"), max_length=64)
    counterparty = models.CharField(_("counterparty"), max_length=120, blank=True)
    memo = models.CharField(_("memo"), max_length=240, blank=True)
    amount = models.BigIntegerField(_("amount (minor units, + = in)"))
    currency = models.CharField(_("currency"), max_length=3)
    balance = models.BigIntegerField(_("balance (minor units)"), null=True, blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=BankLineKind.choices, default=BankLineKind.OTHER)
    state = models.CharField(_("state"), max_length=12, choices=BankLineState.choices, default=BankLineState.NEW)
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, null=True, blank=True)
    channel_date = models.DateField(_("channel date"), null=True, blank=True)
    payout_no = models.CharField(_("payout number"), max_length=40, blank=True)
    rule_id = models.BigIntegerField(_("bank rule"), null=True, blank=True)
    voucher_id = models.BigIntegerField(null=True, blank=True)
    statement = models.ForeignKey(BankStatement, on_delete=models.PROTECT, null=True, blank=True, related_name="lines")
    file_name = models.CharField(_("file"), max_length=200, blank=True)
    file_sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True)
    file_row = models.PositiveIntegerField(_("row"), null=True, blank=True)
    loaded_at = models.DateTimeField(_("loaded at"), auto_now_add=True)

    class Meta:
        ordering = ["-value_date", "-id"]
        verbose_name = _("bank line")
        verbose_name_plural = _("bank lines")
        constraints = [models.UniqueConstraint(fields=["bank_account", "reference"], name="bank_line_reference_once")]
        indexes = [models.Index(fields=["contract", "channel_date"], name="bank_line_channel_idx")]

    def __str__(self) -> str:
        return self.reference
