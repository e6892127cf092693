"""Guards: what is cleared, settled, approved and paid is so once, and only by the allowed steps."""

from django.db import migrations, models
from django.db.models import F, Q

from payops.settlement import guards

_TOTAL = F("settlement_amount") + F("adjustment_amount") + F("carried_in") - F("withheld_amount")


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0001_initial"),
        ("settlement", "0001_initial"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="clearingitem",
            constraint=models.UniqueConstraint(fields=("case_action",), name="clearing_item_one_per_action"),
        ),
        migrations.AddConstraint(
            model_name="settlementsheet",
            constraint=models.CheckConstraint(
                condition=Q(state="draft", payout_amount=0, carry_out=0)
                | Q(state__in=["carried", "held"], payout_amount=0, carry_out=_TOTAL)
                | Q(state__in=["ready", "in_payment", "paid"], payout_amount=_TOTAL, carry_out=0)
                | Q(state__in=["failed", "returned"], payout_amount=_TOTAL, carry_out=F("payout_amount")),
                name="settlement_sheet_pays_or_carries",
            ),
        ),
        migrations.RunSQL(guards.create(), guards.drop()),
    ]
