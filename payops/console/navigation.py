"""The console's navigation: every page in the sidebar, each with the permission that shows it. Nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import get_script_prefix, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from payops.approvals.selectors import pending_for


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the sidebar; `section` is the first word of the URL names that keep it highlighted."""

    title: Any
    url_name: str
    icon: str
    permission: str
    covers: tuple[str, ...] = ()
    badge: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A heading with its items."""

    title: Any
    items: tuple[Item, ...]


NAVIGATION: tuple[Group, ...] = (
    Group(
        _("Today"),
        (
            Item(_("Dashboard"), "dashboard", "space_dashboard", "dashboard.view"),
            Item(_("Approvals"), "approval_list", "fact_check", "approvals.view", ("approval",), badge="approvals"),
        ),
    ),
    Group(
        _("Reconciliation"),
        (
            Item(_("Workbench"), "workbench", "table_view", "runs.view"),
            Item(_("Transactions"), "transaction_list", "receipt_long", "transactions.view", ("transaction",)),
            Item(_("Intake"), "intake_list", "upload_file", "transactions.view", ("intake",)),
            Item(_("Bill files"), "bill_file_list", "description", "files.view", ("bill_file", "bill_line")),
            Item(_("File sources"), "file_source_list", "cloud_download", "files.view", ("file_source", "empty_day")),
            Item(_("Mapped formats"), "mapping_list", "schema", "files.view", ("mapping",)),
            Item(_("Runs"), "run_list", "difference", "runs.view", ("run",)),
            Item(_("Open items"), "open_item_list", "pending_actions", "runs.view", ("open_item",)),
            Item(_("Suggested matches"), "suggestion_list", "join_inner", "runs.view"),
            Item(_("Match groups"), "match_group_list", "hub", "runs.view", ("match_group", "match_group_undo")),
            Item(_("Matching rules"), "match_rule_list", "tune", "files.view", ("match_rule",)),
            Item(_("Cases"), "case_list", "troubleshoot", "cases.view", ("case",)),
            Item(_("What happened"), "explain", "history", "transactions.view"),
            Item(_("Bank lines"), "bank_line_list", "account_balance", "files.view", ("bank_line",)),
            Item(_("Unexplained bank lines"), "bank_unexplained", "help_center", "files.view"),
            Item(_("Bank rules"), "bank_rule_list", "rule", "files.view", ("bank_rule",)),
            Item(_("Channel receipts"), "receipt_list", "payments", "runs.view", ("receipt",)),
            Item(_("Pending receivable"), "pending_receivable", "hourglass", "runs.view"),
            Item(
                _("Bank reconciliation"),
                "bank_reconciliation_list",
                "compare_arrows",
                "runs.view",
                ("bank_reconciliation", "bank_reconcile"),
            ),
            Item(_("Internal reconciliation"), "internal_check", "done_all", "runs.view"),
            Item(_("Merchant reconciliation"), "merchant_check", "handshake", "settlement.view"),
        ),
    ),
    Group(
        _("Settlement"),
        (
            Item(_("Clearing"), "clearing_list", "calculate", "settlement.view", ("clearing", "clearing_item")),
            Item(_("Settlement sheets"), "sheet_list", "request_quote", "settlement.view", ("sheet",)),
            Item(_("Balance checks"), "balance_check_list", "balance", "settlement.view", ("balance_check",)),
            Item(_("Payout batches"), "payout_batch_list", "inventory", "payouts.view", ("payout_batch",)),
            Item(_("Payouts"), "payout_list", "send_money", "payouts.view", ("payout",)),
        ),
    ),
    Group(
        _("Ledger"),
        (
            Item(_("Trial balance"), "trial_balance", "summarize", "ledger.view"),
            Item(_("Chart"), "chart", "account_tree", "ledger.view", ("chart", "owner")),
            Item(_("Accounts"), "account_list", "menu_book", "ledger.view", ("account",)),
            Item(_("Vouchers"), "voucher_list", "book_2", "ledger.view", ("voucher",)),
            Item(_("Corrections"), "correction_list", "edit_note", "ledger.view", ("correction",)),
            Item(
                _("Manual vouchers"),
                "manual_voucher_list",
                "post_add",
                "ledger.view",
                ("manual_voucher", "manual_batch"),
            ),
            Item(_("Accounting days"), "day_list", "event", "ledger.view", ("day",)),
            Item(_("Customers' money"), "money_guard", "shield", "ledger.view"),
            Item(_("Posting modes"), "posting_mode_list", "speed", "ledger.view", ("posting_mode",)),
            Item(_("Posting rules"), "posting_rule_list", "rule", "ledger.view", ("posting_rule",)),
            Item(_("Freezes"), "freeze_list", "lock", "ledger.view", ("freeze", "deduction")),
        ),
    ),
    Group(
        _("Ledger reports"),
        (
            Item(_("Subject daily sheet"), "daily_sheet", "today", "ledger.view"),
            Item(_("General ledger"), "general_ledger", "library_books", "ledger.view"),
            Item(_("Account by day"), "account_days", "calendar_view_day", "ledger.view"),
            Item(_("Balance at a moment"), "balance_at", "schedule", "ledger.view"),
            Item(_("Period balances"), "period_list", "date_range", "ledger.view"),
            Item(_("Classification"), "classification", "category", "ledger.view", ("classification",)),
            Item(_("Mapped reports"), "mapped_report", "account_tree", "ledger.view"),
            Item(_("ERP vouchers"), "erp_vouchers", "move_down", "reports.view"),
            Item(_("Reports and exports"), "report_list", "download", "reports.view", ("report",)),
        ),
    ),
    Group(
        _("Administration"),
        (
            Item(_("Merchants"), "merchant_list", "storefront", "merchants.view", ("merchant",)),
            Item(_("Jobs"), "job_list", "settings_suggest", "jobs.view", ("job",)),
            Item(_("Audit log"), "audit_list", "history", "audit.view"),
        ),
    ),
)


ITEMS = {item.url_name: item for group in NAVIGATION for item in group.items}


def navigation_for(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups and the lines of the items this user may open, with the current page marked.

    Which lines and which badges is asked anew for every page; only what a line looks like is kept.
    """
    current = current_items(getattr(request.resolver_match, "url_name", "") or "")
    language, prefix, may = get_language() or "", get_script_prefix(), request.user.may
    groups = []
    for group in NAVIGATION:
        lines = [
            _badged_line(item, item.url_name in current, request)
            if item.badge
            else _kept_line(item.url_name, item.url_name in current, language, prefix)
            for item in group.items
            if may(item.permission)
        ]
        if lines:
            groups.append({"title": group.title, "lines": mark_safe("".join(lines))})  # noqa: S308 - from a template
    return groups


@lru_cache(maxsize=512)
def _kept_line(url_name: str, active: bool, language: str, prefix: str) -> SafeString:
    """A line of the sidebar in the active language, the same for everybody who may see it."""
    return _line(ITEMS[url_name], active)


def _badged_line(item: Item, active: bool, request: HttpRequest) -> SafeString:
    return _line(item, active, _badge(item, request))


def _line(item: Item, active: bool, badge: int | None = None) -> SafeString:
    context = {"item": item, "url": reverse(f"console:{item.url_name}"), "active": active, "badge": badge}
    return render_to_string("console/_navigation_item.html", context)


@lru_cache(maxsize=1024)
def current_items(url_name: str) -> frozenset[str]:
    """URL names of the items that are marked on a page."""
    return frozenset(item.url_name for item in ITEMS.values() if is_current(item, url_name))


def is_current(item: Item, url_name: str) -> bool:
    """Whether a URL name belongs under this item: the page itself, or a detail page or action of the same thing."""
    if url_name == item.url_name:
        return True
    for prefix in item.covers:
        if url_name == prefix:
            return True
        rest = url_name.removeprefix(f"{prefix}_")
        longer = any(
            other != prefix and other.startswith(prefix) and (url_name == other or url_name.startswith(f"{other}_"))
            for group in NAVIGATION
            for candidate in group.items
            for other in (*candidate.covers, candidate.url_name.removesuffix("_list"))
        )
        if rest != url_name and not longer:
            return True
    return False


def _badge(item: Item, request: HttpRequest) -> int | None:
    """How much waits behind an item; counted up to a hundred, more is no different to anybody."""
    if item.badge != "approvals":
        return None
    return pending_for(request.user)[:100].count() or None
