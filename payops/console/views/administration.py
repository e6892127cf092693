"""Merchants as the console sees them, jobs, and the audit log."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.models import Account
from payops.accounts.selectors import balances_now
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import AuditFilter, JobFilter, MerchantFilter
from payops.console.lists import Button, list_page
from payops.console.shell import action, page, view
from payops.console.tables import case_table, job_columns, job_row, sheet_columns, sheet_row
from payops.console.views.accounts_admin import owner_url
from payops.console.views.restrictions import customer_freeze_table
from payops.console.vouchers import subject_name
from payops.console.words import coded
from payops.core.choices import JobState
from payops.core.jobs import job_cancel, job_retry
from payops.core.models import AuditLog, JobRun
from payops.core.retelling import retold
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy
from payops.merchants.models import AccountState, Merchant, MerchantProduct, SettlementAccount
from payops.merchants.selectors import merchants_for_user
from payops.settlement.models import SettlementSheet

LATEST = 10

# --- merchants --------------------------------------------------------------------------------------------------------


@view("merchants.view")
def merchant_list(request: HttpRequest) -> HttpResponseBase:
    """Merchants by number."""
    columns = [
        Column(_("Merchant number")),
        Column(_("Name")),
        Column(_("Customer")),
        Column(_("Type")),
        Column(_("Status")),
        Column(_("Settlement")),
        Column(_("Settlement account")),
    ]
    in_use = SettlementAccount.objects.exclude(state=AccountState.REPLACED)

    def row(merchant: Merchant) -> list[Cell]:
        account = next(iter(merchant.accounts_in_use), None)
        return [
            cells.number(merchant.merchant_no, link("merchant", merchant.merchant_no)),
            cells.text(merchant.name),
            cells.text(merchant.customer.name),
            cells.text(merchant.get_merchant_type_display()),
            cells.state(merchant, "status"),
            cells.text(str(merchant.terms) if hasattr(merchant, "terms") else "–"),
            cells.text(account.number_masked if account else "–", note=account.get_state_display() if account else ""),
        ]

    rows = (
        merchants_for_user(request.user)
        .select_related("customer", "terms")
        .prefetch_related(Prefetch("settlement_accounts", in_use, to_attr="accounts_in_use"))
    )
    filters = MerchantFilter(request.GET, queryset=rows, request=request)
    return list_page(
        request,
        title=_("Merchants"),
        filters=filters,
        columns=columns,
        row=row,
        export_name="merchants",
        key="merchant_no",
        descending=False,
        empty=_("There are no such merchants."),
    )


@view("merchants.view")
def merchant(request: HttpRequest, merchant_no: str) -> HttpResponseBase:
    """One merchant: contracts, terms, where its money stands, its latest sheets and open cases."""
    found = merchants_for_user(request.user).select_related("customer", "terms").filter(merchant_no=merchant_no).first()
    if found is None:
        raise Http404
    cases = Discrepancy.objects.filter(merchant=found, state__in=OPEN_STATES).select_related(
        "contract", "merchant", "owner"
    )
    sheets = SettlementSheet.objects.filter(merchant=found).select_related("merchant").order_by("-pay_date", "-id")
    facts = [
        (_("Merchant number"), cells.number(found.merchant_no)),
        (_("Name"), cells.text(found.name)),
        (_("Customer"), cells.text(found.customer.name, note=found.customer.customer_no)),
        (_("Type"), cells.text(found.get_merchant_type_display())),
    ]
    if hasattr(found, "terms"):
        facts += [
            (_("Settlement"), cells.text(str(found.terms), note=found.terms.get_cycle_unit_display())),
            (_("Minimum payout"), cells.money(found.terms.minimum_amount)),
        ]
    tables = [
        _account_table(found),
        Table(
            sheet_columns(),
            [sheet_row(sheet) for sheet in sheets[:LATEST]],
            title=_("Latest settlement sheets"),
            empty=_("Nothing has been settled yet."),
        ),
        case_table(cases, title=_("Open cases")),
        _product_table(found),
        _bank_table(found),
    ]
    may_propose = request.user.may("adjustments.propose")
    freezes = customer_freeze_table(found.customer, may_propose=may_propose)
    if freezes.rows:
        tables.insert(0, freezes)
    freeze_url = link("customer_freeze_new", found.merchant_no)
    freeze_button = [Button(_("Freeze the customer"), freeze_url)] if may_propose else []
    context = {
        "parent_title": _("Merchants"),
        "parent_url": link("merchant_list"),
        "badges": [cells.state(found, "status")],
        "buttons": [
            Button(_("Transactions"), link("transaction_list", merchant=found.merchant_no)),
            Button(_("Clearing items"), link("clearing_item_list", merchant=found.merchant_no)),
            Button(_("Payouts"), link("payout_list", merchant=found.merchant_no)),
            Button(_("Accounts"), owner_url("merchant", found.merchant_no)),
            *freeze_button,
        ],
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=f"{found.merchant_no} {found.name}")


def _account_table(found: Merchant) -> Table:
    accounts = Account.objects.filter(owner_kind="merchant", owner_no=found.merchant_no).select_related("subject")
    # With what is queued, read in one statement; what is available is measured by the stored balance.
    now = {
        row["id"]: row["balance"]
        for row in balances_now("a.owner_kind = 'merchant' AND a.owner_no = %(no)s", {"no": found.merchant_no})
    }
    rows = [
        [
            cells.text(f"{dotted(row.subject.code)} {subject_name(row.subject)}", link("account", row.pk)),
            cells.number(row.account_no),
            cells.text(row.currency),
            cells.state(row, "status"),
            cells.money(now.get(row.pk, row.balance), row.currency),
            cells.money(row.frozen, row.currency),
            cells.money(row.available, row.currency),
        ]
        for row in accounts.order_by("subject__code", "currency")
    ]
    columns = [
        Column(_("Subject")),
        Column(_("Account")),
        Column(_("Currency")),
        Column(_("Status")),
        Column(_("Balance"), "c-amount"),
        Column(_("Frozen"), "c-amount"),
        Column(_("Available"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Accounts"), empty=_("No accounts have been opened yet."))


def _product_table(found: Merchant) -> Table:
    products = MerchantProduct.objects.filter(merchant=found).select_related("package").order_by("product")
    rows = [
        [
            cells.text(row.product),
            cells.text(row.package.code, note=row.package.name),
            cells.text(row.get_collection_display()),
            cells.date(row.effective_from),
        ]
        for row in products
    ]
    columns = [Column(_("Product")), Column(_("Fee package")), Column(_("Collection")), Column(_("Effective from"))]
    return Table(columns, rows, title=_("Contracts"))


def _bank_table(found: Merchant) -> Table:
    rows = [
        [
            cells.text(row.bank_name),
            cells.number(row.number_masked),
            cells.text(row.holder),
            cells.text(row.branch_code or "–"),
            cells.state(row),
        ]
        for row in found.settlement_accounts.order_by("-id")
    ]
    columns = [
        Column(_("Bank")),
        Column(_("Account number")),
        Column(_("Holder")),
        Column(_("Branch code")),
        Column(_("State")),
    ]
    return Table(columns, rows, title=_("Settlement accounts"))


# --- jobs -------------------------------------------------------------------------------------------------------------


@view("jobs.view")
def job_list(request: HttpRequest) -> HttpResponseBase:
    """Background jobs, the latest first; their parts are on their own pages."""
    rows = JobRun.objects.filter(parent=None)
    return list_page(
        request,
        title=_("Jobs"),
        filters=JobFilter(request.GET, queryset=rows, request=request),
        columns=job_columns(),
        row=job_row,
        empty=_("There are no such jobs."),
    )


@view("jobs.view")
def job(request: HttpRequest, job_id: int) -> HttpResponseBase:
    """One job: progress, log, result, parts; it reloads itself while it is under way."""
    found = JobRun.objects.filter(pk=job_id).first()
    if found is None:
        raise Http404
    parts = JobRun.objects.filter(parent=found).order_by("id")[:200]
    facts = [
        (_("Kind"), coded(found.kind)),
        (_("Business date"), cells.date(found.business_date)),
        (_("By"), cells.text(found.created_by or "–")),
        (_("Attempt"), cells.text(f"{found.attempt} / {found.max_attempts}")),
        (_("Progress"), cells.text(f"{found.progress_done:,} / {found.progress_total:,}")),
        (_("Message"), cells.text(retold(found.message) or "–")),
        (_("Queued"), cells.moment(found.queued_at)),
        (_("Started"), cells.moment(found.started_at)),
        (_("Finished"), cells.moment(found.finished_at)),
    ]
    if found.parent_id:
        facts.append((_("Part of"), cells.number(found.parent_id, link("job", found.parent_id))))
    tables = [Table(job_columns(), [job_row(part) for part in parts], title=_("Parts"))] if parts else []
    json_blocks = [(_("Parameters"), found.params)]
    if found.result:
        json_blocks.append((_("Result"), found.result))
    if found.log:
        json_blocks.append((_("Log"), found.log))
    context = {
        "parent_title": _("Jobs"),
        "parent_url": link("job_list"),
        "badges": [cells.state(found)],
        "trouble": retold(found.error_message),
        "buttons": _job_buttons(request, found),
        "facts": facts,
        "tables": tables,
        "json_blocks": json_blocks,
        "reload_seconds": 0 if found.is_finished else 3,
    }
    return page(request, "console/detail.html", context, title=_("Job %d") % found.pk)


def _job_buttons(request: HttpRequest, found: JobRun) -> list[Button]:
    if not request.user.may("jobs.retry"):
        return []
    if found.state in {JobState.FAILED, JobState.CANCELLED}:
        return [Button(_("Try again"), link("job_retry", found.pk), post=True, primary=True)]
    if not found.is_finished:
        confirm = _("Cancel this job? What it has not committed is undone.")
        return [Button(_("Cancel"), link("job_cancel", found.pk), post=True, danger=True, confirm=confirm)]
    return []


@action("jobs.retry")
def retry(request: HttpRequest, job_id: int) -> HttpResponse:
    """Queue a failed job again."""
    _job_or_404(job_id)
    job_retry(job_id=job_id)
    messages.success(request, _("Job %d is queued again.") % job_id)
    return redirect(link("job", job_id))


@action("jobs.retry")
def cancel(request: HttpRequest, job_id: int) -> HttpResponse:
    """Cancel a job that has not finished."""
    _job_or_404(job_id)
    job_cancel(job_id=job_id)
    messages.success(request, _("Job %d is cancelled.") % job_id)
    return redirect(link("job", job_id))


def _job_or_404(job_id: int) -> None:
    if not JobRun.objects.filter(pk=job_id).exists():
        raise Http404


# --- audit log --------------------------------------------------------------------------------------------------------


@view("audit.view")
def audit_list(request: HttpRequest) -> HttpResponseBase:
    """Who did or saw what, the latest first."""
    columns = [
        Column(_("Time")),
        Column(_("User")),
        Column(_("Action")),
        Column(_("Object")),
        Column(_("Detail")),
        Column(_("IP address")),
    ]

    def row(entry: AuditLog) -> list[Cell]:
        detail = ", ".join(f"{name}: {value}" for name, value in entry.detail.items() if value not in ("", None))
        return [
            cells.moment(entry.at),
            cells.text(entry.username),
            coded(entry.action),
            cells.text(f"{entry.object_kind} {entry.object_id}"),
            Cell(detail[:300], css="c-wrap"),
            cells.text(entry.ip or "–"),
        ]

    return list_page(
        request,
        title=_("Audit log"),
        filters=AuditFilter(request.GET, queryset=AuditLog.objects.all(), request=request),
        columns=columns,
        row=row,
        export_name="audit_log",
        empty=_("Nothing of this kind was recorded."),
    )


urlpatterns = [
    path("merchants/", merchant_list, name="merchant_list"),
    path("merchants/<str:merchant_no>/", merchant, name="merchant"),
    path("jobs/", job_list, name="job_list"),
    path("jobs/<int:job_id>/", job, name="job"),
    path("jobs/<int:job_id>/retry/", retry, name="job_retry"),
    path("jobs/<int:job_id>/cancel/", cancel, name="job_cancel"),
    path("audit/", audit_list, name="audit_list"),
]
