"""Guards on corrections and manual vouchers, and the sequence their numbers come from."""

from django.db import migrations

from payops.accounts import guards_documents


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_reports"),
        ("approvals", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(guards_documents.document_guards(), guards_documents.document_guards_reverse()),
    ]
