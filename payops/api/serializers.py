"""Shapes of the API: amounts are minor units, ids are strings (they exceed 2⁵³)."""

from __future__ import annotations

from rest_framework import serializers

from payops.orders.intake.rows import KIND_TEXTS
from payops.orders.models import Intake, Transaction


class RefusedRowSerializer(serializers.Serializer):
    """A row that was not taken."""

    line = serializers.IntegerField()
    field = serializers.CharField()
    value = serializers.CharField()
    stored = serializers.CharField(required=False, help_text="What is recorded, when the row contradicts it.")
    code = serializers.CharField()
    reason = serializers.CharField()


class IntakeSerializer(serializers.ModelSerializer):
    """What became of a bulk intake."""

    id = serializers.CharField()
    refused = RefusedRowSerializer(many=True)

    class Meta:
        model = Intake
        fields = (
            "id", "state", "sha256", "size", "rows", "created", "updated", "unchanged", "vouchers", "refused_count",
            "refused", "received_at",
        )  # fmt: skip


class TransactionSerializer(serializers.ModelSerializer):
    """One transaction as its merchant and the staff see it."""

    id = serializers.CharField()
    original_id = serializers.CharField(allow_null=True)
    kind = serializers.SerializerMethodField()
    merchant_no = serializers.CharField(source="merchant.merchant_no")
    channel = serializers.CharField(source="contract.channel.code")
    channel_account = serializers.CharField(source="contract.account_no")
    channel_request_no = serializers.CharField(source="match_key")

    class Meta:
        model = Transaction
        fields = (
            "id", "transaction_no", "kind", "status", "merchant_no", "merchant_order_no", "product", "card_type",
            "channel", "channel_account", "channel_request_no", "channel_trade_no", "amount", "currency", "fee",
            "original_id", "own_date", "business_date", "created_at", "succeeded_at", "effective_at", "payer",
        )  # fmt: skip

    def get_kind(self, row: Transaction) -> str:
        """The name the intake format uses."""
        return KIND_TEXTS.get(row.kind, row.get_kind_display())


class ErrorDetailSerializer(serializers.Serializer):
    """A refusal."""

    code = serializers.CharField()
    message = serializers.CharField()
    context = serializers.DictField()


class ErrorSerializer(serializers.Serializer):
    """How every refusal looks."""

    error = ErrorDetailSerializer()
