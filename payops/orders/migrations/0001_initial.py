"""Transactions by day with their guards, numbers, the open list, refund totals, watermarks and intakes."""

import django.db.models.deletion
from django.db import migrations, models

from payops.core.partitions import CreatePartitionedModel
from payops.core.sql import append_only_operation
from payops.orders import guards


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('channels', '0001_initial'),
        ('merchants', '0001_initial'),
        ('accounts', '0001_initial'),
        ('core', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(guards.SEQUENCES, guards.SEQUENCES_REVERSE),
        migrations.RunSQL(guards.GUARD_FUNCTION, guards.GUARD_FUNCTION_REVERSE),
        migrations.CreateModel(
            name='Intake',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source_name', models.CharField(max_length=200, verbose_name='file name')),
                ('sha256', models.CharField(max_length=64, verbose_name='SHA-256')),
                ('size', models.BigIntegerField(verbose_name='size (bytes)')),
                ('state', models.CharField(choices=[('loaded', 'Loaded'), ('refused', 'Refused')], max_length=8, verbose_name='state')),
                ('rows', models.BigIntegerField(default=0, verbose_name='rows')),
                ('created', models.BigIntegerField(default=0, verbose_name='created')),
                ('updated', models.BigIntegerField(default=0, verbose_name='updated')),
                ('unchanged', models.BigIntegerField(default=0, verbose_name='unchanged')),
                ('refused', models.JSONField(default=list, verbose_name='refused rows')),
                ('refused_count', models.BigIntegerField(default=0, verbose_name='refused')),
                ('vouchers', models.BigIntegerField(default=0, verbose_name='vouchers')),
                ('received_by', models.CharField(blank=True, max_length=150, verbose_name='received by')),
                ('received_at', models.DateTimeField(auto_now_add=True, verbose_name='received at')),
            ],
            options={
                'verbose_name': 'intake',
                'verbose_name_plural': 'intakes',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='TransactionKey',
            fields=[
                ('transaction_no', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('transaction_id', models.BigIntegerField(unique=True)),
            ],
            options={
                'verbose_name': 'transaction number',
                'verbose_name_plural': 'transaction numbers',
            },
        ),
        migrations.CreateModel(
            name='RefundTotal',
            fields=[
                ('original_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('paid', models.BigIntegerField(verbose_name='paid (minor units)')),
                ('refunded', models.BigIntegerField(default=0, verbose_name='refunded (minor units)')),
                ('returned_fee', models.BigIntegerField(default=0, verbose_name='fee returned (minor units)')),
                ('returned_cost', models.BigIntegerField(default=0, verbose_name='expected cost returned (minor units)')),
            ],
            options={
                'verbose_name': 'refund total',
                'verbose_name_plural': 'refund totals',
                'constraints': [models.CheckConstraint(condition=models.Q(('refunded__gte', 0), ('refunded__lte', models.F('paid'))), name='refund_total_at_most_paid')],
            },
        ),
        migrations.CreateModel(
            name='ClearingWatermark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cleared_until', models.DateField(verbose_name='cleared until')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='channels.channelcontract')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='merchants.merchant')),
            ],
            options={
                'verbose_name': 'clearing watermark',
                'verbose_name_plural': 'clearing watermarks',
                'ordering': ['merchant', 'contract'],
                'constraints': [models.UniqueConstraint(fields=('merchant', 'contract'), name='clearing_watermark_once')],
            },
        ),
        migrations.CreateModel(
            name='OpenTransaction',
            fields=[
                ('transaction_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('own_date', models.DateField()),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='channels.channelcontract')),
            ],
            options={
                'verbose_name': 'open transaction',
                'verbose_name_plural': 'open transactions',
                'indexes': [models.Index(fields=['contract', 'own_date'], name='open_transaction_day_idx')],
            },
        ),
        CreatePartitionedModel(
            name='Transaction',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('transaction_no', models.CharField(max_length=64, verbose_name='transaction number')),
                ('kind', models.PositiveSmallIntegerField(choices=[(1, 'Payment'), (2, 'Refund'), (3, 'Void'), (10, 'Pre-authorisation completion'), (11, 'Refund returned'), (12, 'Top-up')], verbose_name='kind')),
                ('status', models.CharField(choices=[('created', 'Created'), ('processing', 'Processing'), ('unknown', 'Unknown'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('closed', 'Closed')], max_length=10, verbose_name='status')),
                ('own_date', models.DateField(verbose_name='accounting date')),
                ('business_date', models.DateField(verbose_name='business date')),
                ('match_key', models.CharField(max_length=64, verbose_name='channel request number')),
                ('channel_trade_no', models.CharField(blank=True, max_length=64, verbose_name='channel trade number')),
                ('merchant_order_no', models.CharField(blank=True, max_length=64, verbose_name='merchant order number')),
                ('product', models.CharField(max_length=30, verbose_name='product')),
                ('card_type', models.CharField(blank=True, choices=[('debit', 'Debit'), ('credit', 'Credit'), ('prepaid', 'Prepaid')], max_length=8, verbose_name='card type')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('fee', models.BigIntegerField(default=0, verbose_name='merchant fee (minor units)')),
                ('fee_rule_id', models.IntegerField(blank=True, null=True, verbose_name='fee rule')),
                ('collection', models.CharField(choices=[('net', 'Net, fee kept back'), ('gross', 'Gross, fee charged afterwards')], default='net', max_length=6, verbose_name='collection')),
                ('expected_cost', models.BigIntegerField(default=0, verbose_name='expected channel cost (minor units)')),
                ('cost_rule_id', models.IntegerField(blank=True, null=True, verbose_name='cost rule')),
                ('original_id', models.BigIntegerField(blank=True, null=True, verbose_name='original transaction')),
                ('refund_source', models.CharField(blank=True, choices=[('pending', 'Pending settlement'), ('settlement', 'Settlement account')], max_length=10, verbose_name='refund source')),
                ('origin', models.CharField(choices=[('intake', 'Payment core'), ('supplement', 'Supplemented lost order'), ('surplus_refund', 'Refund of a surplus'), ('refund_return', 'Refund returned')], default='intake', max_length=14, verbose_name='origin')),
                ('payer', models.CharField(blank=True, max_length=64, verbose_name='payer')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('succeeded_at', models.DateTimeField(blank=True, null=True, verbose_name='succeeded at')),
                ('effective_at', models.DateTimeField(blank=True, null=True, verbose_name='counts since')),
                ('extra', models.JSONField(blank=True, null=True, verbose_name='extra')),
                ('contract', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, to='channels.channelcontract', verbose_name='channel')),
                ('merchant', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, to='merchants.merchant')),
            ],
            options={
                'verbose_name': 'transaction',
                'verbose_name_plural': 'transactions',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['contract', 'own_date'], name='transaction_own_day_idx'), models.Index(fields=['merchant', 'own_date'], name='transaction_merchant_idx'), models.Index(fields=['match_key'], name='transaction_key_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='transaction_amount_positive')],
            },
        ),
        migrations.RunSQL(guards.GUARD_TRIGGERS, guards.GUARD_TRIGGERS_REVERSE),
        append_only_operation("orders_transactionkey"),
    ]
