"""The ledger's tables, the guards that protect them, and the function that posts one voucher."""

import django.db.models.deletion
import payops.accounts.choices
import django.db.models.expressions
from django.db import migrations, models

from payops.accounts import guards, posting_function
from payops.core import partitions, sql


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("core", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account_no', models.CharField(max_length=64, unique=True, verbose_name='account number')),
                ('currency', models.CharField(default='CNY', max_length=3, verbose_name='currency')),
                ('owner_kind', models.CharField(choices=[('institution', 'Institution'), ('channel', 'Channel contract'), ('bank', 'Bank account'), ('merchant', 'Merchant')], max_length=12, verbose_name='owner')),
                ('owner_no', models.CharField(blank=True, max_length=40, verbose_name='owner number')),
                ('posting_mode', models.CharField(choices=[('realtime', 'Real-time'), ('buffered', 'Buffered'), ('summary', 'Summary at day end')], default='realtime', max_length=10, verbose_name='posting mode')),
                ('status', models.CharField(choices=[('normal', 'Normal'), ('credit_only', 'Credit only'), ('debit_only', 'Debit only'), ('stopped', 'Stopped'), ('judicial', 'Judicial freeze'), ('closed', 'Closed')], default='normal', max_length=12, verbose_name='status')),
                ('balance', models.BigIntegerField(default=0, verbose_name='balance (minor units)')),
                ('frozen', models.BigIntegerField(default=0, verbose_name='frozen (minor units)')),
                ('opened_at', models.DateTimeField(auto_now_add=True, verbose_name='opened at')),
                ('closed_at', models.DateTimeField(blank=True, null=True, verbose_name='closed at')),
            ],
            options={
                'verbose_name': 'account',
                'verbose_name_plural': 'accounts',
                'ordering': ['account_no'],
            },
        ),
        migrations.CreateModel(
            name='PostingKey',
            fields=[
                ('pk', models.CompositePrimaryKey('event', 'source_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('event', models.PositiveSmallIntegerField()),
                ('source_id', models.BigIntegerField()),
                ('voucher_id', models.BigIntegerField()),
            ],
            options={
                'verbose_name': 'posting key',
                'verbose_name_plural': 'posting keys',
            },
        ),
        migrations.CreateModel(
            name='AccountingDay',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False, verbose_name='day')),
                ('state', models.CharField(choices=[('open', 'Open'), ('cut_off', 'Cut off'), ('closed', 'Closed')], default='open', max_length=8, verbose_name='state')),
                ('opened_at', models.DateTimeField(auto_now_add=True, verbose_name='opened at')),
                ('cut_off_at', models.DateTimeField(blank=True, null=True, verbose_name='cut off at')),
                ('closed_at', models.DateTimeField(blank=True, null=True, verbose_name='closed at')),
                ('voucher_count', models.BigIntegerField(blank=True, null=True, verbose_name='vouchers')),
                ('entry_count', models.BigIntegerField(blank=True, null=True, verbose_name='entries')),
                ('debit_total', models.JSONField(blank=True, null=True, verbose_name='debit total by currency')),
                ('seal', models.CharField(blank=True, max_length=64, verbose_name='seal')),
            ],
            options={
                'verbose_name': 'accounting day',
                'verbose_name_plural': 'accounting days',
                'ordering': ['-day'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('state',), name='accounting_day_one_open')],
            },
        ),
        migrations.CreateModel(
            name='DayBalance',
            fields=[
                ('pk', models.CompositePrimaryKey('day', 'account', blank=True, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField(verbose_name='day')),
                ('opening', models.BigIntegerField(verbose_name='opening (minor units)')),
                ('debit', models.BigIntegerField(verbose_name='debit turnover (minor units)')),
                ('credit', models.BigIntegerField(verbose_name='credit turnover (minor units)')),
                ('closing', models.BigIntegerField(verbose_name='closing (minor units)')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='day_balances', to='accounts.account')),
            ],
            options={
                'verbose_name': 'day balance',
                'verbose_name_plural': 'day balances',
                'ordering': ['day', 'account'],
            },
        ),
        migrations.CreateModel(
            name='DayFinding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('check_name', models.CharField(max_length=60, verbose_name='check')),
                ('level', models.CharField(choices=[('info', 'Information'), ('warning', 'Warning'), ('error', 'Error')], max_length=8, verbose_name='level')),
                ('message', models.TextField(verbose_name='message')),
                ('context', models.JSONField(default=dict, verbose_name='context')),
                ('found_at', models.DateTimeField(auto_now_add=True, verbose_name='found at')),
                ('day', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='findings', to='accounts.accountingday')),
            ],
            options={
                'verbose_name': 'day-end finding',
                'verbose_name_plural': 'day-end findings',
                'ordering': ['day', 'id'],
            },
        ),
        migrations.CreateModel(
            name='PostingRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.PositiveSmallIntegerField(choices=payops.accounts.choices.event_choices, verbose_name='event')),
                ('version', models.PositiveIntegerField(default=1, verbose_name='version')),
                ('effective_day', models.DateField(verbose_name='effective from')),
                ('lines', models.JSONField(verbose_name='lines')),
                ('summary', models.CharField(max_length=120, verbose_name='summary text')),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('active', 'Active'), ('retired', 'Retired')], default='active', max_length=8, verbose_name='state')),
                ('created_by', models.CharField(blank=True, max_length=150, verbose_name='created by')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
            ],
            options={
                'verbose_name': 'posting rule',
                'verbose_name_plural': 'posting rules',
                'ordering': ['event', '-version'],
                'constraints': [models.UniqueConstraint(fields=('event', 'version'), name='posting_rule_version_unique')],
            },
        ),
        migrations.CreateModel(
            name='Subject',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=10, unique=True, verbose_name='code')),
                ('name', models.CharField(max_length=80, verbose_name='name')),
                ('name_zh', models.CharField(max_length=80, verbose_name='Chinese name')),
                ('element', models.CharField(choices=[('asset', 'Asset'), ('liability', 'Liability'), ('common', 'Common'), ('income', 'Income'), ('expense', 'Expense'), ('memo', 'Memorandum')], max_length=10, verbose_name='element')),
                ('normal_side', models.CharField(choices=[('D', 'Debit'), ('C', 'Credit')], max_length=1, verbose_name='normal side')),
                ('is_leaf', models.BooleanField(default=True, verbose_name='leaf')),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='accounts.subject')),
            ],
            options={
                'verbose_name': 'subject',
                'verbose_name_plural': 'subjects',
                'ordering': ['code'],
            },
        ),
        migrations.AddField(
            model_name='account',
            name='subject',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='accounts', to='accounts.subject'),
        ),
        partitions.CreatePartitionedModel(
            name='Voucher',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('event', models.PositiveSmallIntegerField(choices=payops.accounts.choices.event_choices, verbose_name='event')),
                ('source_kind', models.CharField(max_length=24, verbose_name='source')),
                ('source_id', models.BigIntegerField(verbose_name='source number')),
                ('business_date', models.DateField(verbose_name='business date')),
                ('line_count', models.PositiveSmallIntegerField(verbose_name='lines')),
                ('rule_version', models.PositiveIntegerField(verbose_name='rule version')),
                ('memo', models.CharField(blank=True, max_length=200, verbose_name='memo')),
                ('posted_at', models.DateTimeField(verbose_name='posted at')),
                ('posted_by', models.CharField(blank=True, max_length=150, verbose_name='posted by')),
            ],
            options={
                'verbose_name': 'voucher',
                'verbose_name_plural': 'vouchers',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['source_kind', 'source_id'], name='voucher_source_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('line_count__gte', 1), ('line_count__lte', 999)), name='voucher_line_count_in_range'), models.CheckConstraint(condition=models.Q(('id__gt', 0), ('id', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('id'), '/', models.Value(1000)), '*', models.Value(1000)))), name='voucher_id_is_a_thousand')],
            },
        ),
        partitions.CreatePartitionedModel(
            name='Entry',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('side', models.CharField(choices=[('D', 'Debit'), ('C', 'Credit')], max_length=1, verbose_name='side')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('event', models.PositiveSmallIntegerField(choices=payops.accounts.choices.event_choices, verbose_name='business code')),
                ('balance_after', models.BigIntegerField(blank=True, null=True, verbose_name='balance after (minor units)')),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='accounts.account')),
            ],
            options={
                'verbose_name': 'entry',
                'verbose_name_plural': 'entries',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['account', 'id'], name='entry_account_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('side__in', ['D', 'C'])), name='entry_side_debit_or_credit')],
            },
        ),
        migrations.CreateModel(
            name='Freeze',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('remaining', models.BigIntegerField(verbose_name='still frozen (minor units)')),
                ('reason', models.CharField(max_length=200, verbose_name='reason')),
                ('source_kind', models.CharField(max_length=40, verbose_name='source')),
                ('source_id', models.CharField(max_length=64, verbose_name='source number')),
                ('created_by', models.CharField(max_length=150, verbose_name='created by')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('released_at', models.DateTimeField(blank=True, null=True, verbose_name='released at')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='freezes', to='accounts.account')),
            ],
            options={
                'verbose_name': 'freeze',
                'verbose_name_plural': 'freezes',
                'ordering': ['id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='freeze_amount_positive'), models.CheckConstraint(condition=models.Q(('remaining__gte', 0), ('remaining__lte', models.F('amount'))), name='freeze_remaining_in_range')],
            },
        ),
        migrations.AddConstraint(
            model_name='subject',
            constraint=models.CheckConstraint(condition=models.Q(('code__regex', '^\\d{4}(\\d\\d){0,3}$')), name='subject_code_is_digits'),
        ),
        migrations.AddIndex(
            model_name='account',
            index=models.Index(fields=['owner_kind', 'owner_no'], name='account_owner_idx'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(fields=('subject', 'owner_kind', 'owner_no', 'currency'), name='account_one_per_owner'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('frozen__gte', 0)), name='account_frozen_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'closed'), _negated=True), models.Q(('balance', 0), ('frozen', 0)), _connector='OR'), name='account_closed_only_at_zero'),
        ),
        # Balances change in place: room on the page keeps the change out of the indexes.
        migrations.RunSQL('ALTER TABLE accounts_account SET (fillfactor = 70)', migrations.RunSQL.noop),
        migrations.RunSQL([*guards.functions(), posting_function.POST_FUNCTION], guards.functions_reverse()),
        migrations.RunSQL(guards.table_triggers(), migrations.RunSQL.noop),
        migrations.RunSQL(
            [
                *partitions.trigger_statements(guards.VOUCHER_TRIGGERS, "accounts_voucher"),
                *partitions.trigger_statements(guards.ENTRY_TRIGGERS, "accounts_entry"),
                sql.fill(sql.NO_UPDATE_OR_DELETE, "accounts_voucher"),
                sql.fill(sql.NO_UPDATE_OR_DELETE, "accounts_entry"),
            ],
            migrations.RunSQL.noop,
        ),
    ]
