"""Transactions in, and one transaction out by its number."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle

from payops.api.base import ApiView
from payops.api.parsers import CsvParser, NdjsonParser, PackedParser
from payops.api.serializers import ErrorSerializer, IntakeSerializer, TransactionSerializer
from payops.orders.models import IntakeState
from payops.orders.selectors import transaction_by_number, visible_to
from payops.orders.services import transactions_load


class TransactionsView(ApiView):
    """Bulk intake."""

    codes: ClassVar = {"POST": ("orders.upload",)}
    parser_classes: ClassVar = [NdjsonParser, CsvParser, PackedParser]
    throttle_classes: ClassVar = [ScopedRateThrottle]
    throttle_scope = "intake"

    @extend_schema(
        operation_id="transactions_load",
        summary="Take in transactions, as many as wanted",
        description=(
            "One JSON object per line (or CSV, or either of them gzipped), in the intake format of docs/orders.md. "
            "Idempotent by transaction number: the same rows again change nothing. An invalid row refuses the whole "
            "body (422) and lists every invalid row; a row that contradicts a final one is refused alone (200)."
        ),
        request={"application/x-ndjson": OpenApiTypes.BINARY, "text/csv": OpenApiTypes.BINARY},
        responses={
            200: IntakeSerializer,
            401: ErrorSerializer,
            403: ErrorSerializer,
            422: OpenApiResponse(IntakeSerializer, description="Nothing was taken."),
            503: ErrorSerializer,
        },
    )
    def post(self, request: Request) -> Response:
        """Stream the body into the intake."""
        # Without a body there is no stream; the intake then says that the file is empty.
        body = request.data if hasattr(request.data, "read") else io.BytesIO()
        intake = transactions_load(source=body, name="api", user=request.user.username)
        code = status.HTTP_200_OK if intake.state == IntakeState.LOADED else status.HTTP_422_UNPROCESSABLE_ENTITY
        return Response(IntakeSerializer(intake).data, status=code)


class TransactionView(ApiView):
    """One transaction."""

    codes: ClassVar = {"GET": ("transactions.view", "portal.transactions")}

    @extend_schema(
        operation_id="transaction_get",
        summary="One transaction by the payment core's number",
        responses={200: TransactionSerializer, 401: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, transaction_no: str, **kwargs: Any) -> Response:
        """404 for what does not exist and for what is another merchant's."""
        row = transaction_by_number(transaction_no)
        if row is None or not visible_to(request.user, row):
            raise Http404
        return Response(TransactionSerializer(row).data)
