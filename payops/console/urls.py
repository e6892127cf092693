"""Addresses of the console: each part of the house brings its own."""

from django.urls.resolvers import URLPattern, URLResolver

from payops.console import line_rows
from payops.console.views import (
    accounts_admin,
    administration,
    approvals,
    bills,
    cases,
    chart,
    corrections,
    dashboard,
    exports,
    freezes,
    funds,
    ledger,
    manual_vouchers,
    payouts,
    periods,
    posting_modes,
    posting_rules,
    receipt_division,
    reports,
    restrictions,
    runs,
    settlement,
    transactions,
)

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = [
    *dashboard.urlpatterns,
    *approvals.urlpatterns,
    *transactions.urlpatterns,
    *bills.urlpatterns,
    *runs.urlpatterns,
    *cases.urlpatterns,
    *funds.urlpatterns,
    *receipt_division.urlpatterns,
    *settlement.urlpatterns,
    *payouts.urlpatterns,
    *ledger.urlpatterns,
    *chart.urlpatterns,
    *accounts_admin.urlpatterns,
    *freezes.urlpatterns,
    *posting_rules.urlpatterns,
    *posting_modes.urlpatterns,
    *reports.urlpatterns,
    *periods.urlpatterns,
    *exports.urlpatterns,
    *corrections.urlpatterns,
    *manual_vouchers.urlpatterns,
    *line_rows.urlpatterns,
    *administration.urlpatterns,
    *restrictions.urlpatterns,
]
