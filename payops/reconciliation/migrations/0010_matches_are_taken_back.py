"""A match by hand ends by a request of two people, and never without opening what it had cleared."""

from django.db import migrations, models

from payops.reconciliation import guards_undo


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0009_sums_are_guarded"),
        ("approvals", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="matchend",
            name="approval_id",
            field=models.BigIntegerField(blank=True, null=True, unique=True, verbose_name="request"),
        ),
        migrations.AddConstraint(
            model_name="matchend",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("approval_id__isnull", False), ("why", "taken back")),
                    models.Q(models.Q(("why", "taken back"), _negated=True), ("approval_id__isnull", True)),
                    _connector="OR",
                ),
                name="match_end_taken_back_is_approved",
            ),
        ),
        migrations.RunSQL(guards_undo.create(), guards_undo.drop()),
    ]
