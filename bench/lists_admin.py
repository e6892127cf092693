"""Django's admin for transactions, as one would register it, beside the site's own addresses; `bench.lists` only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path

from payops.config.urls import urlpatterns as site_patterns
from payops.orders.models import Transaction

site = admin.AdminSite()


@admin.register(Transaction, site=site)
class TransactionAdmin(admin.ModelAdmin):
    """The columns of the console's list; everything else as Django has it."""

    list_display = (
        "transaction_no",
        "kind",
        "status",
        "contract",
        "merchant",
        "created_at",
        "amount",
        "fee",
        "match_key",
    )
    list_filter = ("kind", "status", "contract", "merchant")
    search_fields = ("=transaction_no", "=match_key", "=channel_trade_no", "=merchant_order_no")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transaction]:
        """A plain queryset: the model's own refuses to read all days."""
        return QuerySet(Transaction)


urlpatterns = [*site_patterns, path("plain-admin/", site.urls)]
