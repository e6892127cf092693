"""A link goes only with what it had cleared."""

from django.db import migrations, models

from payops.reconciliation import guards_links


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0013_runs_in_buckets")]

    operations = [
        migrations.AddIndex(
            model_name="openitem",
            index=models.Index(
                condition=models.Q(("state", "cleared")), fields=["transaction_id"], name="open_item_matched_idx"
            ),
        ),
        migrations.RunSQL(guards_links.create(), guards_links.drop()),
    ]
