"""The register of archived partitions with its guards; indexes for pages of the audit log."""

import django.utils.timezone
from django.db import migrations, models

from payops.core import guards


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ArchivedPartition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('parent', models.CharField(max_length=63, verbose_name='table')),
                ('name', models.CharField(max_length=63, verbose_name='partition')),
                ('day', models.DateField(verbose_name='day')),
                ('lo', models.BigIntegerField(verbose_name='first number')),
                ('hi', models.BigIntegerField(verbose_name='numbers end before')),
                ('rows', models.BigIntegerField(verbose_name='rows')),
                ('columns', models.JSONField(verbose_name='columns')),
                ('sha256', models.CharField(max_length=64, verbose_name='SHA-256 of the rows')),
                ('path', models.CharField(max_length=200, verbose_name='file')),
                ('file_sha256', models.CharField(max_length=64, verbose_name='SHA-256 of the file')),
                ('file_size', models.BigIntegerField(verbose_name='size (bytes)')),
                ('ledger_digest', models.JSONField(blank=True, null=True, verbose_name='digest in the seal')),
                ('state', models.CharField(choices=[('written', 'Written'), ('archived', 'Archived'), ('restored', 'Restored'), ('dropped', 'Written anew')], default='written', max_length=8, verbose_name='state')),
                ('kept', models.BooleanField(default=False, verbose_name='table kept')),
                ('written_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='written at')),
                ('written_by', models.CharField(max_length=150, verbose_name='written by')),
                ('archived_at', models.DateTimeField(blank=True, null=True, verbose_name='archived at')),
                ('restored_at', models.DateTimeField(blank=True, null=True, verbose_name='restored at')),
            ],
            options={
                'verbose_name': 'archived partition',
                'verbose_name_plural': 'archived partitions',
                'ordering': ['day', 'parent', 'lo', 'id'],
            },
        ),
        migrations.AddIndex(
            model_name='auditlog',
            index=models.Index(fields=['at'], name='core_auditlog_at'),
        ),
        migrations.AddIndex(
            model_name='auditlog',
            index=models.Index(fields=['action', 'id'], name='core_auditlog_action'),
        ),
        migrations.AddIndex(
            model_name='archivedpartition',
            index=models.Index(fields=['day'], name='core_archived_day'),
        ),
        migrations.AddConstraint(
            model_name='archivedpartition',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['written', 'archived'])), fields=('name',), name='core_archived_once'),
        ),
        migrations.AddConstraint(
            model_name='archivedpartition',
            constraint=models.CheckConstraint(condition=models.Q(('hi__gt', models.F('lo')), ('rows__gte', 0)), name='core_archived_bounds'),
        ),
        migrations.AddConstraint(
            model_name='archivedpartition',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('archived_at__isnull', True), ('state__in', ['written', 'dropped'])), models.Q(('archived_at__isnull', False), ('restored_at__isnull', True), ('state', 'archived')), models.Q(('archived_at__isnull', False), ('restored_at__isnull', False), ('state', 'restored')), _connector='OR'), name='core_archived_times'),
        ),
        migrations.RunSQL(guards.ARCHIVE_FUNCTION, guards.ARCHIVE_FUNCTION_REVERSE),
        migrations.RunSQL(guards.ARCHIVE_TRIGGERS, guards.ARCHIVE_TRIGGERS_REVERSE),
    ]
