"""What is owed and what is paid: clearing, settlement sheets, balance checks, payout batches (DOMAIN 11)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BankAccount, ChannelContract
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.merchants.models import Collection, Merchant, SettlementAccount
from payops.settlement.choices import BatchState, HoldState, PayoutState, SessionKind, SheetState


class ClearingSession(models.Model):
    """One numbered computation of what is owed for an accounting date; a late channel gets a session of its own."""

    own_date = models.DateField(_("accounting date"))
    kind = models.CharField(_("kind"), max_length=12, choices=SessionKind.choices)
    session_no = models.PositiveIntegerField(_("session number"))
    count = models.BigIntegerField(_("count"), default=0)
    amount = models.BigIntegerField(_("amount (minor units)"), default=0)
    fee = models.BigIntegerField(_("fee (minor units)"), default=0)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-own_date", "kind", "session_no"]
        verbose_name = _("clearing session")
        verbose_name_plural = _("clearing sessions")
        constraints = [
            models.UniqueConstraint(fields=["own_date", "kind", "session_no"], name="clearing_session_number")
        ]

    def __str__(self) -> str:
        return f"{self.own_date} {self.kind} {self.session_no}"


class ClearedDay(models.Model):
    """A contract's accounting date that was cleared: at most once, however often clearing is started."""

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="cleared_days")
    own_date = models.DateField(_("accounting date"))
    session = models.ForeignKey(ClearingSession, on_delete=models.PROTECT, related_name="cleared_days")

    class Meta:
        ordering = ["-own_date", "contract"]
        verbose_name = _("cleared day")
        verbose_name_plural = _("cleared days")
        constraints = [models.UniqueConstraint(fields=["contract", "own_date"], name="cleared_day_once")]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.own_date}"


class ClearingSheet(models.Model):
    """What one merchant is owed by one clearing session, in total."""

    session = models.ForeignKey(ClearingSession, on_delete=models.PROTECT, related_name="sheets")
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="clearing_sheets")
    count = models.BigIntegerField(_("count"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    fee = models.BigIntegerField(_("fee (minor units)"))

    class Meta:
        ordering = ["session", "merchant"]
        verbose_name = _("clearing sheet")
        verbose_name_plural = _("clearing sheets")
        constraints = [models.UniqueConstraint(fields=["session", "merchant"], name="clearing_sheet_once")]

    def __str__(self) -> str:
        return f"{self.session} {self.merchant_id}"


class ClearingItem(models.Model):
    """The part of a clearing sheet from one contract, and the source document of its clearing voucher.

    All amounts are minor units, reverse transactions with their sign: `amount` A, `discount` X, `fee` F;
    `refunded_from_settlement` is what refunds already took from the settlement account (≥ 0), which clearing therefore
    adds back; `net` is what the item adds to the settlement account by its voucher.
    """

    sheet = models.ForeignKey(ClearingSheet, on_delete=models.PROTECT, related_name="items")
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="clearing_items")
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="clearing_items")
    own_date = models.DateField(_("accounting date"))
    kind = models.CharField(_("kind"), max_length=12, choices=SessionKind.choices)
    collection = models.CharField(_("collection"), max_length=6, choices=Collection.choices)
    count = models.BigIntegerField(_("count"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    discount = models.BigIntegerField(_("merchant discount (minor units)"), default=0)
    fee = models.BigIntegerField(_("fee (minor units)"))
    refunded_from_settlement = models.BigIntegerField(_("refunded from settlement (minor units)"), default=0)
    refund_fee = models.BigIntegerField(_("fee of refunds from settlement (minor units)"), default=0)
    net = models.BigIntegerField(_("net (minor units)"))
    pay_date = models.DateField(_("requested pay date"))
    case_action = models.ForeignKey(CaseAction, on_delete=models.PROTECT, null=True, blank=True)
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    settlement_sheet = models.ForeignKey(
        "SettlementSheet", on_delete=models.PROTECT, null=True, blank=True, related_name="items"
    )

    class Meta:
        ordering = ["sheet", "contract", "id"]
        verbose_name = _("clearing item")
        verbose_name_plural = _("clearing items")
        constraints = [
            models.UniqueConstraint(
                fields=["sheet", "contract", "collection", "case_action"],
                name="clearing_item_once",
                nulls_distinct=False,
            ),
            # A sheet of another session would get round the rule above.
            models.UniqueConstraint(fields=["case_action"], name="clearing_item_one_per_action"),
            models.CheckConstraint(
                condition=Q(
                    collection="net",
                    net=F("amount") + F("refunded_from_settlement") - F("discount") - F("fee"),
                )
                | Q(collection="gross", net=F("amount") + F("refunded_from_settlement") - F("discount")),
                name="clearing_item_adds_up",
            ),
        ]
        indexes = [
            models.Index(fields=["contract", "own_date"], name="clearing_item_day_idx"),
            models.Index(fields=["merchant", "pay_date"], name="clearing_item_pay_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.merchant_id} {self.contract_id} {self.own_date}"


class ClearingHold(models.Model):
    """A transaction kept out of its day's clearing (own only) until its case ends; released ones join a later item."""

    transaction_id = models.BigIntegerField(unique=True)
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT)
    own_date = models.DateField(_("accounting date"))
    amount = models.BigIntegerField(_("amount (minor units, signed)"))
    state = models.CharField(_("state"), max_length=8, choices=HoldState.choices, default=HoldState.HELD)
    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, null=True, blank=True)
    released_in = models.ForeignKey(ClearingItem, on_delete=models.PROTECT, null=True, blank=True)
    released_date = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("clearing hold")
        verbose_name_plural = _("clearing holds")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="released", released_date__isnull=False)
                | (~Q(state="released") & Q(released_date__isnull=True, released_in__isnull=True)),
                name="clearing_hold_released_on_a_date",
            ),
        ]
        indexes = [
            models.Index(fields=["contract", "own_date"], name="clearing_hold_day_idx"),
            models.Index(fields=["contract", "released_date"], name="clearing_hold_released_idx"),
        ]

    def __str__(self) -> str:
        return str(self.transaction_id)


class SettlementSession(models.Model):
    """One numbered settlement for a pay date."""

    pay_date = models.DateField(_("pay date"))
    own_date = models.DateField(_("accounting date"))
    session_no = models.PositiveIntegerField(_("session number"))
    count = models.BigIntegerField(_("sheets"), default=0)
    amount = models.BigIntegerField(_("settlement amount (minor units)"), default=0)
    payout_amount = models.BigIntegerField(_("payout amount (minor units)"), default=0)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-pay_date", "session_no"]
        verbose_name = _("settlement session")
        verbose_name_plural = _("settlement sessions")
        constraints = [models.UniqueConstraint(fields=["pay_date", "session_no"], name="settlement_session_number")]

    def __str__(self) -> str:
        return f"{self.pay_date} {self.session_no}"


_SHEET_TOTAL = F("settlement_amount") + F("adjustment_amount") + F("carried_in") - F("withheld_amount")


class SettlementSheet(models.Model):
    """What one merchant will be paid on one date, with every term of it (DOMAIN 11.3). Minor units.

    settlement_amount = Σ amount − discount − fee of its items (fee only where collected net);
    adjustment_amount adds back refunds already taken from the settlement account and takes off recoveries;
    payout_amount = settlement + adjustment + carried_in − withheld, or 0 where carried forward or held.
    """

    session = models.ForeignKey(SettlementSession, on_delete=models.PROTECT, related_name="sheets")
    sheet_no = models.CharField(_("sheet number"), max_length=24, unique=True)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="settlement_sheets")
    pay_date = models.DateField(_("requested pay date"))
    count = models.BigIntegerField(_("count"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    fee = models.BigIntegerField(_("fee (minor units)"))
    settlement_amount = models.BigIntegerField(_("settlement amount (minor units)"))
    adjustment_amount = models.BigIntegerField(_("adjustment amount (minor units)"), default=0)
    carried_in = models.BigIntegerField(_("unsettled amount carried from before (minor units)"), default=0)
    withheld_amount = models.BigIntegerField(_("withheld by the balance check (minor units)"), default=0)
    payout_amount = models.BigIntegerField(_("payout amount (minor units)"), default=0)
    state = models.CharField(_("state"), max_length=10, choices=SheetState.choices, default=SheetState.DRAFT)
    carry_out = models.BigIntegerField(_("carried to the next sheet (minor units)"), default=0)
    carried_to = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="carried_from")
    settlement_account = models.ForeignKey(SettlementAccount, on_delete=models.PROTECT, null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-pay_date", "merchant"]
        verbose_name = _("settlement sheet")
        verbose_name_plural = _("settlement sheets")
        constraints = [
            models.UniqueConstraint(fields=["session", "merchant"], name="settlement_sheet_once"),
            models.CheckConstraint(condition=Q(payout_amount__gte=0), name="settlement_payout_not_negative"),
            models.CheckConstraint(
                condition=Q(payout_amount=0)
                | Q(
                    payout_amount=F("settlement_amount")
                    + F("adjustment_amount")
                    + F("carried_in")
                    - F("withheld_amount")
                ),
                name="settlement_sheet_adds_up",
            ),
            # What is not paid is carried, what is paid is not, and what came back is both: nothing is lost or twice.
            models.CheckConstraint(
                condition=Q(state="draft", payout_amount=0, carry_out=0)
                | Q(state__in=["carried", "held"], payout_amount=0, carry_out=_SHEET_TOTAL)
                | Q(state__in=["ready", "in_payment", "paid"], payout_amount=_SHEET_TOTAL, carry_out=0)
                | Q(state__in=["failed", "returned"], payout_amount=_SHEET_TOTAL, carry_out=F("payout_amount")),
                name="settlement_sheet_pays_or_carries",
            ),
        ]

    def __str__(self) -> str:
        return self.sheet_no


class BalanceCheck(models.Model):
    """The equation of DOMAIN 11.4 for one contract and accounting date; append-only, the last attempt counts."""

    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT, related_name="balance_checks")
    own_date = models.DateField(_("accounting date"))
    attempt = models.PositiveIntegerField(_("attempt"))
    terms = models.JSONField(_("terms"))
    computed = models.BigIntegerField(_("computed (minor units)"))
    clearing_amount = models.BigIntegerField(_("clearing amount (minor units)"))
    passed = models.BooleanField(_("passed"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    checked_at = models.DateTimeField(_("checked at"), auto_now_add=True)

    class Meta:
        ordering = ["-own_date", "contract", "-attempt"]
        verbose_name = _("balance check")
        verbose_name_plural = _("balance checks")
        constraints = [
            models.UniqueConstraint(fields=["contract", "own_date", "attempt"], name="balance_check_attempt"),
            models.CheckConstraint(
                condition=Q(passed=False) | Q(computed=F("clearing_amount")), name="balance_check_passes_only_if_equal"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.own_date}"

    @property
    def difference(self) -> int:
        """Computed less clearing amount, minor units."""
        return self.computed - self.clearing_amount


class PayoutBatch(models.Model):
    """Payouts of one pay date from one bank account, approved by finance as one."""

    batch_no = models.CharField(_("batch number"), max_length=24, unique=True)
    pay_date = models.DateField(_("pay date"))
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT)
    count = models.BigIntegerField(_("payouts"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    state = models.CharField(_("state"), max_length=10, choices=BatchState.choices, default=BatchState.PENDING)
    approval = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("payout batch")
        verbose_name_plural = _("payout batches")

    def __str__(self) -> str:
        return self.batch_no


class Payout(models.Model):
    """One payment request to a merchant's settlement account; at most one live per sheet. `amount` minor units.

    A re-sent payout keeps its number; a new attempt after a definite failure is a new row linked by `previous`.
    """

    payout_no = models.CharField(_("payout number"), max_length=32, unique=True)
    batch = models.ForeignKey(PayoutBatch, on_delete=models.PROTECT, related_name="payouts")
    sheet = models.ForeignKey(SettlementSheet, on_delete=models.PROTECT, related_name="payouts")
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="payouts")
    settlement_account = models.ForeignKey(SettlementAccount, on_delete=models.PROTECT)
    amount = models.BigIntegerField(_("amount (minor units)"))
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    state = models.CharField(_("state"), max_length=10, choices=PayoutState.choices, default=PayoutState.CREATED)
    previous = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="next")
    bank_reference = models.CharField(_("bank reference"), max_length=64, blank=True)
    failure_code = models.CharField(_("failure code"), max_length=40, blank=True)
    failure_reason = models.CharField(_("failure reason"), max_length=200, blank=True)
    query_count = models.PositiveIntegerField(_("queries"), default=0)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_amount_positive"),
            models.UniqueConstraint(
                fields=["sheet"],
                condition=~Q(state__in=["failed", "returned", "cancelled"]),
                name="payout_one_live_per_sheet",
            ),
        ]

    def __str__(self) -> str:
        return self.payout_no


class PayoutEvent(models.Model):
    """One line of a payout's history. Append-only."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(_("at"), auto_now_add=True)
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    username = models.CharField(_("user"), max_length=150, blank=True)
    note = models.CharField(_("note"), max_length=240, blank=True)
    voucher_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("payout event")
        verbose_name_plural = _("payout events")

    def __str__(self) -> str:
        return f"{self.payout_id} {self.to_state}"
