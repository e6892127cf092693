"""Cases, their actions and history, with the guards of the database."""


import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from payops.discrepancies import sql


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0001_initial'),
        ('approvals', '0001_initial'),
        ('channels', '0001_initial'),
        ('merchants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CaseAction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('wait', 'Keep waiting'), ('supplement', 'Supplement lost order'), ('refund_payer', 'Refund the payer'), ('loss', 'Accept the loss'), ('recover', 'Recover from the merchant'), ('income', 'Take the surplus to income')], max_length=14, verbose_name='action')),
                ('params', models.JSONField(default=dict, verbose_name='details')),
                ('state', models.CharField(choices=[('proposed', 'Proposed'), ('booked', 'Booked'), ('rejected', 'Rejected')], default='proposed', max_length=8, verbose_name='state')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('batch_no', models.CharField(blank=True, default='', max_length=24, verbose_name='batch')),
                ('voucher_id', models.BigIntegerField(blank=True, null=True, verbose_name='voucher')),
                ('transaction_id', models.BigIntegerField(blank=True, null=True, verbose_name='transaction made')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='proposed at')),
                ('booked_at', models.DateTimeField(blank=True, null=True, verbose_name='booked at')),
                ('approval', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='case_actions', to='approvals.approvalrequest')),
                ('proposed_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'case action',
                'verbose_name_plural': 'case actions',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Discrepancy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('case_no', models.CharField(max_length=24, unique=True, verbose_name='case number')),
                ('dedupe_key', models.CharField(max_length=80, unique=True)),
                ('kind', models.CharField(choices=[('own_only', 'Own only'), ('channel_only', 'Channel only'), ('amount_mismatch', 'Amount mismatch'), ('fee_mismatch', 'Fee mismatch'), ('status_mismatch', 'Status mismatch (lost order)'), ('currency_mismatch', 'Currency mismatch'), ('kind_mismatch', 'Kind mismatch'), ('duplicate_channel', 'Duplicate in channel'), ('duplicate_own', 'Duplicate of ours'), ('receipt_mismatch', 'Receipt differs from bill'), ('bank_unidentified', 'Unidentified bank line')], max_length=20, verbose_name='kind')),
                ('reason_code', models.CharField(choices=[('cut_off', 'Cut-off difference'), ('lost_order', 'Lost order'), ('late_success', 'Success after closing'), ('duplicate', 'Duplicate payment'), ('amount_changed', 'Amount changed'), ('fee_rate', 'Fee rate changed'), ('not_at_channel', 'Not known to the channel'), ('not_ours', 'Not known to us'), ('bank', 'Bank difference'), ('other', 'Other')], default='other', max_length=16, verbose_name='reason')),
                ('state', models.CharField(choices=[('open', 'Open'), ('investigating', 'Investigating'), ('proposed', 'Action proposed'), ('booked', 'Booked'), ('closed', 'Closed'), ('auto_cleared', 'Cleared automatically'), ('withdrawn', 'Withdrawn by a new run')], default='open', max_length=14, verbose_name='state')),
                ('business_date', models.DateField(verbose_name='channel date')),
                ('transaction_id', models.BigIntegerField(blank=True, null=True, verbose_name='transaction')),
                ('bill_line_id', models.BigIntegerField(blank=True, null=True, verbose_name='bill line')),
                ('bank_line_id', models.BigIntegerField(blank=True, null=True, verbose_name='bank line')),
                ('amount', models.BigIntegerField(verbose_name='difference (minor units)')),
                ('suspense', models.BigIntegerField(default=0, verbose_name='in suspense (minor units)')),
                ('currency', models.CharField(default='CNY', max_length=3, verbose_name='currency')),
                ('evidence', models.JSONField(default=dict, verbose_name='evidence')),
                ('suggested_action', models.CharField(blank=True, choices=[('wait', 'Keep waiting'), ('supplement', 'Supplement lost order'), ('refund_payer', 'Refund the payer'), ('loss', 'Accept the loss'), ('recover', 'Recover from the merchant'), ('income', 'Take the surplus to income')], max_length=14, verbose_name='suggested action')),
                ('wait_until', models.DateField(blank=True, null=True, verbose_name='waiting until')),
                ('escalated_at', models.DateTimeField(blank=True, null=True, verbose_name='escalated at')),
                ('opened_at', models.DateTimeField(auto_now_add=True, verbose_name='opened at')),
                ('closed_at', models.DateTimeField(blank=True, null=True, verbose_name='closed at')),
                ('bank_account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='channels.bankaccount')),
                ('contract', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='channels.channelcontract', verbose_name='channel')),
                ('merchant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='merchants.merchant')),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'case',
                'verbose_name_plural': 'cases',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='CaseEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True, verbose_name='at')),
                ('username', models.CharField(max_length=150, verbose_name='user')),
                ('what', models.CharField(choices=[('opened', 'Opened'), ('reopened', 'Reopened'), ('assigned', 'Taken on'), ('noted', 'Note'), ('proposed', 'Action proposed'), ('rejected', 'Proposal rejected'), ('taken_back', 'Proposal withdrawn'), ('waiting', 'Kept waiting'), ('booked', 'Booked'), ('closed', 'Closed'), ('auto_cleared', 'Cleared automatically'), ('withdrawn', 'Withdrawn by a new run'), ('escalated', 'Escalated'), ('suspense', 'Suspense changed by a run')], max_length=40, verbose_name='what')),
                ('from_state', models.CharField(blank=True, max_length=14)),
                ('to_state', models.CharField(blank=True, max_length=14)),
                ('note', models.TextField(blank=True, verbose_name='note')),
                ('voucher_id', models.BigIntegerField(blank=True, null=True, verbose_name='voucher')),
                ('amount', models.BigIntegerField(blank=True, null=True, verbose_name='amount (minor units)')),
                ('action', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='discrepancies.caseaction', verbose_name='action')),
                ('case', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='discrepancies.discrepancy')),
            ],
            options={
                'verbose_name': 'case event',
                'verbose_name_plural': 'case events',
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='caseaction',
            name='case',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='actions', to='discrepancies.discrepancy'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(fields=['state', 'business_date'], name='case_state_idx'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(fields=['contract', 'business_date'], name='case_contract_idx'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(fields=['transaction_id'], name='case_transaction_idx'),
        ),
        migrations.AddIndex(
            model_name='discrepancy',
            index=models.Index(fields=['bill_line_id'], name='case_bill_line_idx'),
        ),
        migrations.AddConstraint(
            model_name='discrepancy',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['closed', 'auto_cleared', 'withdrawn']), _negated=True), ('suspense', 0), _connector='OR'), name='case_closed_only_without_suspense'),
        ),
        migrations.AddConstraint(
            model_name='discrepancy',
            constraint=models.CheckConstraint(condition=models.Q(('suspense', 0), models.Q(('amount__gt', 0), ('suspense__gt', 0)), models.Q(('amount__lt', 0), ('suspense__lt', 0)), _connector='OR'), name='case_suspense_has_the_sign_of_the_difference'),
        ),
        migrations.AddConstraint(
            model_name='caseevent',
            constraint=models.CheckConstraint(condition=models.Q(('username', ''), _negated=True), name='case_event_says_who'),
        ),
        migrations.AddIndex(
            model_name='caseaction',
            index=models.Index(condition=models.Q(('batch_no', ''), _negated=True), fields=['batch_no'], name='case_action_batch_idx'),
        ),
        migrations.AddConstraint(
            model_name='caseaction',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'proposed')), fields=('case',), name='case_action_one_proposed'),
        ),
        migrations.AddConstraint(
            model_name='caseaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'booked'), _negated=True), ('booked_at__isnull', False), _connector='OR'), name='case_action_booked_has_time'),
        ),
        migrations.AddConstraint(
            model_name='caseaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'booked'), _negated=True), ('approval__isnull', False), _connector='OR'), name='case_action_booked_was_approved'),
        ),
        migrations.AddConstraint(
            model_name='caseaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'booked'), _negated=True), ('kind', 'wait'), ('voucher_id__isnull', False), _connector='OR'), name='case_action_booked_has_voucher'),
        ),
        sql.number_operation(),
        *sql.guard_operations(),
    ]
