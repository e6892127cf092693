"""Every settlement line booked so far pays the one day it names."""

from django.db import migrations

ALLOCATE = """
WITH settled AS (
    SELECT l.id AS line_id, l.amount, r.id AS receipt_id
    FROM channels_bankline l
    JOIN reconciliation_channelreceipt r ON r.contract_id = l.contract_id AND r.channel_date = l.channel_date
    WHERE l.kind = 'settlement'
), allocated AS (
    INSERT INTO reconciliation_receiptallocation (bank_line_id, number, kind, attributed, is_current, made_by, made_at)
    SELECT line_id, 1, 'named', true, true, 'system', now() FROM settled ORDER BY line_id
    RETURNING id, bank_line_id
)
INSERT INTO reconciliation_receiptpart (allocation_id, receipt_id, amount)
SELECT allocated.id, settled.receipt_id, settled.amount
FROM allocated JOIN settled ON settled.line_id = allocated.bank_line_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0003_receipt_allocations"),
    ]

    operations = [
        migrations.RunSQL(ALLOCATE, migrations.RunSQL.noop),
    ]
