"""Approval requests, frozen and decided once by database guards."""


import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from payops.approvals import sql


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApprovalRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(max_length=60, verbose_name='action')),
                ('title', models.CharField(max_length=200, verbose_name='title')),
                ('payload', models.JSONField(verbose_name='payload')),
                ('payload_hash', models.CharField(max_length=64, verbose_name='payload hash')),
                ('target_kind', models.CharField(max_length=40, verbose_name='target')),
                ('target_id', models.CharField(max_length=64, verbose_name='target number')),
                ('target_fingerprint', models.CharField(max_length=64, verbose_name='target fingerprint')),
                ('amount', models.BigIntegerField(blank=True, null=True, verbose_name='amount (minor units)')),
                ('currency', models.CharField(blank=True, max_length=3, verbose_name='currency')),
                ('tier', models.PositiveSmallIntegerField(default=1, verbose_name='tier')),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('executed', 'Approved and executed'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn')], default='pending', max_length=12, verbose_name='status')),
                ('reason', models.TextField(blank=True, verbose_name='reason')),
                ('decision_note', models.TextField(blank=True, verbose_name='decision note')),
                ('result', models.JSONField(blank=True, null=True, verbose_name='result')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('decided_at', models.DateTimeField(blank=True, null=True, verbose_name='decided at')),
                ('checker', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests_decided', to=settings.AUTH_USER_MODEL, verbose_name='checker')),
                ('maker', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='requests_made', to=settings.AUTH_USER_MODEL, verbose_name='maker')),
            ],
            options={
                'verbose_name': 'approval request',
                'verbose_name_plural': 'approval requests',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['status', '-id'], name='approval_status_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('checker__isnull', True), models.Q(('checker', models.F('maker')), _negated=True), _connector='OR'), name='approval_maker_is_not_checker'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['executed', 'rejected']), _negated=True), models.Q(('checker__isnull', False), ('decided_at__isnull', False)), _connector='OR'), name='approval_decision_has_checker'), models.UniqueConstraint(condition=models.Q(('status', 'pending')), fields=('action', 'target_kind', 'target_id'), name='approval_one_pending_per_target')],
            },
        ),
        sql.guard_operation(),
    ]
