"""Groups of rows matched one to many, many to one or by hand, and the rules that allow it."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

from payops.reconciliation import guards_matching


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_initial'),
        ('reconciliation', '0005_bank_rules'),
    ]

    operations = [
        migrations.AlterField(
            model_name='openitem',
            name='result',
            field=models.CharField(choices=[('matched', 'Matched'), ('own_in_doubt', 'Own in doubt'), ('own_only', 'Own only'), ('own_cleared', 'Own cleared'), ('channel_in_doubt', 'Channel in doubt'), ('channel_only', 'Channel only'), ('channel_cleared', 'Channel cleared'), ('amount_mismatch', 'Amount mismatch'), ('fee_mismatch', 'Fee mismatch'), ('status_mismatch', 'Status mismatch'), ('currency_mismatch', 'Currency mismatch'), ('kind_mismatch', 'Kind mismatch'), ('duplicate_channel', 'Duplicate in channel'), ('duplicate_own', 'Duplicate of ours'), ('offset', 'Internal offset'), ('split', 'Split over several lines'), ('lump', 'Several in one line'), ('by_hand', 'Matched by hand'), ('failed_absent', 'Unknown and absent, set failed')], max_length=18, verbose_name='result'),
        ),
        migrations.AlterField(
            model_name='reconresult',
            name='kind',
            field=models.CharField(choices=[('matched', 'Matched'), ('own_in_doubt', 'Own in doubt'), ('own_only', 'Own only'), ('own_cleared', 'Own cleared'), ('channel_in_doubt', 'Channel in doubt'), ('channel_only', 'Channel only'), ('channel_cleared', 'Channel cleared'), ('amount_mismatch', 'Amount mismatch'), ('fee_mismatch', 'Fee mismatch'), ('status_mismatch', 'Status mismatch'), ('currency_mismatch', 'Currency mismatch'), ('kind_mismatch', 'Kind mismatch'), ('duplicate_channel', 'Duplicate in channel'), ('duplicate_own', 'Duplicate of ours'), ('offset', 'Internal offset'), ('split', 'Split over several lines'), ('lump', 'Several in one line'), ('by_hand', 'Matched by hand'), ('failed_absent', 'Unknown and absent, set failed')], max_length=18, verbose_name='result'),
        ),
        migrations.CreateModel(
            name='MatchGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('split', 'Split over several lines'), ('lump', 'Several in one line'), ('by_hand', 'Matched by hand')], max_length=8, verbose_name='kind')),
                ('own_amount', models.BigIntegerField(verbose_name='own amount (minor units)')),
                ('channel_amount', models.BigIntegerField(verbose_name='channel amount (minor units)')),
                ('difference', models.BigIntegerField(verbose_name='difference (minor units)')),
                ('why', models.JSONField(default=dict, verbose_name='why')),
                ('approval_id', models.BigIntegerField(blank=True, null=True, verbose_name='request')),
                ('made_by', models.CharField(max_length=150, verbose_name='made by')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='match_groups', to='channels.channelcontract')),
                ('run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='groups', to='reconciliation.reconrun')),
            ],
            options={
                'verbose_name': 'match group',
                'verbose_name_plural': 'match groups',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='MatchEnd',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('why', models.CharField(max_length=20, verbose_name='why')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='reconciliation.reconrun')),
                ('group', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='end', to='reconciliation.matchgroup')),
            ],
            options={
                'verbose_name': 'end of a match group',
                'verbose_name_plural': 'ends of match groups',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='MatchRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField(verbose_name='version')),
                ('effective_from', models.DateField(verbose_name='effective from')),
                ('group_by', models.CharField(choices=[('none', 'Nothing: one to one only'), ('key', 'The matching key, repeated'), ('request', 'Order number of the line = our request number'), ('order', 'Order number of the line = merchant order number'), ('trade', 'Channel trade number (batch number)')], default='none', max_length=8, verbose_name='grouped by')),
                ('fee_tolerance', models.BigIntegerField(default=0, verbose_name='fee tolerance (minor units)')),
                ('amount_tolerance', models.BigIntegerField(default=0, verbose_name='amount tolerance by hand (minor units)')),
                ('made_by', models.CharField(max_length=150, verbose_name='made by')),
                ('approval_id', models.BigIntegerField(verbose_name='request')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='match_rules', to='channels.channelcontract')),
            ],
            options={
                'verbose_name': 'matching rule',
                'verbose_name_plural': 'matching rules',
                'ordering': ['contract', '-version'],
            },
        ),
        migrations.AddField(
            model_name='matchgroup',
            name='rule',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='reconciliation.matchrule'),
        ),
        migrations.CreateModel(
            name='MatchMember',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('side', models.CharField(choices=[('own', 'Own'), ('channel', 'Channel')], max_length=7, verbose_name='side')),
                ('row_id', models.BigIntegerField(verbose_name='transaction or bill line')),
                ('amount', models.BigIntegerField(verbose_name='amount (minor units)')),
                ('is_live', models.BooleanField(default=True, editable=False)),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='members', to='reconciliation.matchgroup')),
            ],
            options={
                'verbose_name': 'member of a match group',
                'verbose_name_plural': 'members of match groups',
                'ordering': ['group', 'id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_live', True)), fields=('side', 'row_id'), name='match_member_claims_once')],
            },
        ),
        migrations.AddConstraint(
            model_name='matchrule',
            constraint=models.UniqueConstraint(fields=('contract', 'version'), name='match_rule_version'),
        ),
        migrations.AddConstraint(
            model_name='matchrule',
            constraint=models.CheckConstraint(condition=models.Q(('amount_tolerance__gte', 0), ('fee_tolerance__gte', 0)), name='match_rule_tolerates_no_less_than_0'),
        ),
        migrations.AddConstraint(
            model_name='matchgroup',
            constraint=models.CheckConstraint(condition=models.Q(('difference', django.db.models.expressions.CombinedExpression(models.F('channel_amount'), '-', models.F('own_amount')))), name='match_group_difference'),
        ),
        migrations.AddConstraint(
            model_name='matchgroup',
            constraint=models.CheckConstraint(condition=models.Q(('difference', 0), models.Q(('kind', 'by_hand'), ('rule__isnull', False)), _connector='OR'), name='match_group_is_exact_or_tolerated'),
        ),
        migrations.AddConstraint(
            model_name='matchgroup',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('approval_id__isnull', False), ('kind', 'by_hand')), models.Q(models.Q(('kind', 'by_hand'), _negated=True), ('run__isnull', False)), _connector='OR'), name='match_group_by_a_run_or_approved'),
        ),
        migrations.RunSQL(guards_matching.create(), guards_matching.drop()),
    ]
