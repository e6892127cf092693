"""A bank line names the file, the row and the statement it came from."""

import django.db.models.deletion
from django.db import migrations, models

from payops.channels import guards_lines


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0007_bill_line_key_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="bankline",
            name="file_name",
            field=models.CharField(blank=True, default="", max_length=200, verbose_name="file"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="bankline",
            name="file_row",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="row"),
        ),
        migrations.AddField(
            model_name="bankline",
            name="file_sha256",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="SHA-256"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="bankline",
            name="statement",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="channels.bankstatement",
            ),
        ),
        migrations.RunSQL(guards_lines.CREATE, guards_lines.DROP),
    ]
