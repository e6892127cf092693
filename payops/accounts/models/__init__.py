"""The ledger's data (DOMAIN 4, 9), by concern; import models from here."""

from payops.accounts.models.books import (
    Account,
    AccountingDay,
    DayBalance,
    DayFinding,
    Entry,
    Freeze,
    FreezeRelease,
    PostingKey,
    PostingRule,
    Subject,
    Voucher,
)
from payops.accounts.models.documents import (
    CorrectedEntry,
    Correction,
    CorrectionVoucher,
    ManualVoucher,
    PeriodBalance,
)
from payops.accounts.models.modes import (
    AccountStatusChange,
    Deduction,
    DeductionPart,
    DivertedEntry,
    PostingModeRule,
    QueuedMovement,
)
from payops.accounts.models.reporting import (
    ClassificationCode,
    ClassificationRule,
    DayTotal,
    ReportLine,
    ReportTerm,
)

__all__ = [
    "Account",
    "AccountStatusChange",
    "AccountingDay",
    "ClassificationCode",
    "ClassificationRule",
    "CorrectedEntry",
    "Correction",
    "CorrectionVoucher",
    "DayBalance",
    "DayFinding",
    "DayTotal",
    "Deduction",
    "DeductionPart",
    "DivertedEntry",
    "Entry",
    "Freeze",
    "FreezeRelease",
    "ManualVoucher",
    "PeriodBalance",
    "PostingKey",
    "PostingModeRule",
    "PostingRule",
    "QueuedMovement",
    "ReportLine",
    "ReportTerm",
    "Subject",
    "Voucher",
]
