"""Clearing, settlement, balance checks and payouts; payout histories and checks are append-only."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

from payops.core.sql import append_only_operation


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0001_initial'),
        ('approvals', '0001_initial'),
        ('channels', '0001_initial'),
        ('discrepancies', '0001_initial'),
        ('merchants', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ClearingSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('kind', models.CharField(choices=[('trade', 'Trade'), ('discrepancy', 'Discrepancy')], max_length=12, verbose_name='kind')),
                ('session_no', models.PositiveIntegerField(verbose_name='session number')),
                ('count', models.BigIntegerField(default=0, verbose_name='count')),
                ('amount', models.BigIntegerField(default=0, verbose_name='amount (minor units)')),
                ('fee', models.BigIntegerField(default=0, verbose_name='fee (minor units)')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
            ],
            options={
                'verbose_name': 'clearing session',
                'verbose_name_plural': 'clearing sessions',
                'ordering': ['-own_date', 'kind', 'session_no'],
                'constraints': [models.UniqueConstraint(fields=('own_date', 'kind', 'session_no'), name='clearing_session_number')],
            },
        ),
        migrations.CreateModel(
            name='ClearingSheet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('count', models.BigIntegerField(verbose_name='count')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('fee', models.BigIntegerField(verbose_name='fee (minor units)')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clearing_sheets', to='merchants.merchant')),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sheets', to='settlement.clearingsession')),
            ],
            options={
                'verbose_name': 'clearing sheet',
                'verbose_name_plural': 'clearing sheets',
                'ordering': ['session', 'merchant'],
            },
        ),
        migrations.CreateModel(
            name='PayoutBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('batch_no', models.CharField(max_length=24, unique=True, verbose_name='batch number')),
                ('pay_date', models.DateField(verbose_name='pay date')),
                ('count', models.BigIntegerField(verbose_name='payouts')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('state', models.CharField(choices=[('pending', 'Waiting for approval'), ('approved', 'Approved'), ('sent', 'Sent'), ('done', 'All results in'), ('rejected', 'Rejected')], default='pending', max_length=10, verbose_name='state')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('approval', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='approvals.approvalrequest')),
                ('bank_account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='channels.bankaccount')),
            ],
            options={
                'verbose_name': 'payout batch',
                'verbose_name_plural': 'payout batches',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Payout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('payout_no', models.CharField(max_length=32, unique=True, verbose_name='payout number')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('currency', models.CharField(default='CNY', max_length=3, verbose_name='currency')),
                ('state', models.CharField(choices=[('created', 'Created'), ('approved', 'Approved'), ('sending', 'Being sent'), ('sent', 'Sent'), ('unknown', 'Unknown'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('returned', 'Returned'), ('cancelled', 'Cancelled')], default='created', max_length=10, verbose_name='state')),
                ('bank_reference', models.CharField(blank=True, max_length=64, verbose_name='bank reference')),
                ('failure_code', models.CharField(blank=True, max_length=40, verbose_name='failure code')),
                ('failure_reason', models.CharField(blank=True, max_length=200, verbose_name='failure reason')),
                ('query_count', models.PositiveIntegerField(default=0, verbose_name='queries')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='sent at')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='merchants.merchant')),
                ('previous', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='next', to='settlement.payout')),
                ('settlement_account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='merchants.settlementaccount')),
                ('batch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='settlement.payoutbatch')),
            ],
            options={
                'verbose_name': 'payout',
                'verbose_name_plural': 'payouts',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='PayoutEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True, verbose_name='at')),
                ('from_state', models.CharField(blank=True, max_length=10)),
                ('to_state', models.CharField(max_length=10)),
                ('username', models.CharField(blank=True, max_length=150, verbose_name='user')),
                ('note', models.CharField(blank=True, max_length=240, verbose_name='note')),
                ('voucher_id', models.BigIntegerField(blank=True, null=True)),
                ('payout', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='settlement.payout')),
            ],
            options={
                'verbose_name': 'payout event',
                'verbose_name_plural': 'payout events',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='SettlementSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pay_date', models.DateField(verbose_name='pay date')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('session_no', models.PositiveIntegerField(verbose_name='session number')),
                ('count', models.BigIntegerField(default=0, verbose_name='sheets')),
                ('amount', models.BigIntegerField(default=0, verbose_name='settlement amount (minor units)')),
                ('payout_amount', models.BigIntegerField(default=0, verbose_name='payout amount (minor units)')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
            ],
            options={
                'verbose_name': 'settlement session',
                'verbose_name_plural': 'settlement sessions',
                'ordering': ['-pay_date', 'session_no'],
                'constraints': [models.UniqueConstraint(fields=('pay_date', 'session_no'), name='settlement_session_number')],
            },
        ),
        migrations.CreateModel(
            name='SettlementSheet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sheet_no', models.CharField(max_length=24, unique=True, verbose_name='sheet number')),
                ('pay_date', models.DateField(verbose_name='requested pay date')),
                ('count', models.BigIntegerField(verbose_name='count')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('fee', models.BigIntegerField(verbose_name='fee (minor units)')),
                ('settlement_amount', models.BigIntegerField(verbose_name='settlement amount (minor units)')),
                ('adjustment_amount', models.BigIntegerField(default=0, verbose_name='adjustment amount (minor units)')),
                ('carried_in', models.BigIntegerField(default=0, verbose_name='unsettled amount carried from before (minor units)')),
                ('withheld_amount', models.BigIntegerField(default=0, verbose_name='withheld by the balance check (minor units)')),
                ('payout_amount', models.BigIntegerField(default=0, verbose_name='payout amount (minor units)')),
                ('state', models.CharField(choices=[('draft', 'Computed'), ('ready', 'Ready for payment'), ('carried', 'Carried forward'), ('held', 'Held'), ('in_payment', 'In payment'), ('paid', 'Paid'), ('failed', 'Payment failed'), ('returned', 'Payment returned')], default='draft', max_length=10, verbose_name='state')),
                ('carry_out', models.BigIntegerField(default=0, verbose_name='carried to the next sheet (minor units)')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('carried_to', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='carried_from', to='settlement.settlementsheet')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlement_sheets', to='merchants.merchant')),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sheets', to='settlement.settlementsession')),
                ('settlement_account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='merchants.settlementaccount')),
            ],
            options={
                'verbose_name': 'settlement sheet',
                'verbose_name_plural': 'settlement sheets',
                'ordering': ['-pay_date', 'merchant'],
            },
        ),
        migrations.AddField(
            model_name='payout',
            name='sheet',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='settlement.settlementsheet'),
        ),
        migrations.CreateModel(
            name='ClearingItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('kind', models.CharField(choices=[('trade', 'Trade'), ('discrepancy', 'Discrepancy')], max_length=12, verbose_name='kind')),
                ('collection', models.CharField(choices=[('net', 'Net, fee kept back'), ('gross', 'Gross, fee charged afterwards')], max_length=6, verbose_name='collection')),
                ('count', models.BigIntegerField(verbose_name='count')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('discount', models.BigIntegerField(default=0, verbose_name='merchant discount (minor units)')),
                ('fee', models.BigIntegerField(verbose_name='fee (minor units)')),
                ('refunded_from_settlement', models.BigIntegerField(default=0, verbose_name='refunded from settlement (minor units)')),
                ('refund_fee', models.BigIntegerField(default=0, verbose_name='fee of refunds from settlement (minor units)')),
                ('net', models.BigIntegerField(verbose_name='net (minor units)')),
                ('pay_date', models.DateField(verbose_name='requested pay date')),
                ('voucher_id', models.BigIntegerField(blank=True, null=True, verbose_name='voucher')),
                ('case_action', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='discrepancies.caseaction')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clearing_items', to='channels.channelcontract')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clearing_items', to='merchants.merchant')),
                ('sheet', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='items', to='settlement.clearingsheet')),
                ('settlement_sheet', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='items', to='settlement.settlementsheet')),
            ],
            options={
                'verbose_name': 'clearing item',
                'verbose_name_plural': 'clearing items',
                'ordering': ['sheet', 'contract', 'id'],
            },
        ),
        migrations.CreateModel(
            name='BalanceCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('attempt', models.PositiveIntegerField(verbose_name='attempt')),
                ('terms', models.JSONField(verbose_name='terms')),
                ('computed', models.BigIntegerField(verbose_name='computed (minor units)')),
                ('clearing_amount', models.BigIntegerField(verbose_name='clearing amount (minor units)')),
                ('passed', models.BooleanField(verbose_name='passed')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='reason')),
                ('checked_at', models.DateTimeField(auto_now_add=True, verbose_name='checked at')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='balance_checks', to='channels.channelcontract')),
            ],
            options={
                'verbose_name': 'balance check',
                'verbose_name_plural': 'balance checks',
                'ordering': ['-own_date', 'contract', '-attempt'],
                'constraints': [models.UniqueConstraint(fields=('contract', 'own_date', 'attempt'), name='balance_check_attempt'), models.CheckConstraint(condition=models.Q(('passed', False), ('computed', models.F('clearing_amount')), _connector='OR'), name='balance_check_passes_only_if_equal')],
            },
        ),
        migrations.CreateModel(
            name='ClearingHold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.BigIntegerField(unique=True)),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units, signed)')),
                ('state', models.CharField(choices=[('held', 'Held'), ('released', 'Released'), ('dropped', 'Dropped')], default='held', max_length=8, verbose_name='state')),
                ('released_date', models.DateField(blank=True, null=True)),
                ('case', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='discrepancies.discrepancy')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='channels.channelcontract')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='merchants.merchant')),
                ('released_in', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='settlement.clearingitem')),
            ],
            options={
                'verbose_name': 'clearing hold',
                'verbose_name_plural': 'clearing holds',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['contract', 'own_date'], name='clearing_hold_day_idx'), models.Index(fields=['contract', 'released_date'], name='clearing_hold_released_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('released_date__isnull', False), ('state', 'released')), models.Q(models.Q(('state', 'released'), _negated=True), ('released_date__isnull', True), ('released_in__isnull', True)), _connector='OR'), name='clearing_hold_released_on_a_date')],
            },
        ),
        migrations.CreateModel(
            name='ClearedDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cleared_days', to='channels.channelcontract')),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cleared_days', to='settlement.clearingsession')),
            ],
            options={
                'verbose_name': 'cleared day',
                'verbose_name_plural': 'cleared days',
                'ordering': ['-own_date', 'contract'],
                'constraints': [models.UniqueConstraint(fields=('contract', 'own_date'), name='cleared_day_once')],
            },
        ),
        migrations.AddConstraint(
            model_name='clearingsheet',
            constraint=models.UniqueConstraint(fields=('session', 'merchant'), name='clearing_sheet_once'),
        ),
        migrations.AddConstraint(
            model_name='settlementsheet',
            constraint=models.UniqueConstraint(fields=('session', 'merchant'), name='settlement_sheet_once'),
        ),
        migrations.AddConstraint(
            model_name='settlementsheet',
            constraint=models.CheckConstraint(condition=models.Q(('payout_amount__gte', 0)), name='settlement_payout_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='settlementsheet',
            constraint=models.CheckConstraint(condition=models.Q(('payout_amount', 0), ('payout_amount', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('settlement_amount'), '+', models.F('adjustment_amount')), '+', models.F('carried_in')), '-', models.F('withheld_amount'))), _connector='OR'), name='settlement_sheet_adds_up'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='payout_amount_positive'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['failed', 'returned', 'cancelled']), _negated=True), fields=('sheet',), name='payout_one_live_per_sheet'),
        ),
        migrations.AddIndex(
            model_name='clearingitem',
            index=models.Index(fields=['contract', 'own_date'], name='clearing_item_day_idx'),
        ),
        migrations.AddIndex(
            model_name='clearingitem',
            index=models.Index(fields=['merchant', 'pay_date'], name='clearing_item_pay_idx'),
        ),
        migrations.AddConstraint(
            model_name='clearingitem',
            constraint=models.UniqueConstraint(fields=('sheet', 'contract', 'collection', 'case_action'), name='clearing_item_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='clearingitem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('collection', 'net'), ('net', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('amount'), '+', models.F('refunded_from_settlement')), '-', models.F('discount')), '-', models.F('fee')))), models.Q(('collection', 'gross'), ('net', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('amount'), '+', models.F('refunded_from_settlement')), '-', models.F('discount')))), _connector='OR'), name='clearing_item_adds_up'),
        ),
        append_only_operation("settlement_balancecheck"),
        append_only_operation("settlement_payoutevent"),
    ]
