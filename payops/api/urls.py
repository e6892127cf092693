"""Addresses of the API; the description itself needs a login like everything else."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated

from payops.api.authentication import TokenAuthentication
from payops.api.views import TransactionsView, TransactionView

app_name = "api"
urlpatterns = [
    path("transactions", TransactionsView.as_view(), name="transactions"),
    path("transactions/<path:transaction_no>", TransactionView.as_view(), name="transaction"),
    path(
        "schema",
        SpectacularAPIView.as_view(
            authentication_classes=[TokenAuthentication, SessionAuthentication], permission_classes=[IsAuthenticated]
        ),
        name="schema",
    ),
]
