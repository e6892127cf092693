"""Where bills are fetched from, the tries, and days a channel has no bill for, with their guards."""

import django.db.models.deletion
import payops.core.crypto
from django.db import migrations, models

from payops.channels import guards_fetch


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0001_initial'),
        ('channels', '0003_bank_line_kinds_by_rule'),
    ]

    operations = [
        migrations.CreateModel(
            name='FileSource',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, verbose_name='name')),
                ('version', models.PositiveIntegerField(default=1, verbose_name='version')),
                ('kind', models.CharField(choices=[('folder', 'Watched folder'), ('sftp', 'SFTP'), ('wechat', 'WeChat Pay v3'), ('alipay', 'Alipay')], max_length=8, verbose_name='kind')),
                ('bill_type', models.CharField(choices=[('trade', 'Trades'), ('errors', 'Disputes and adjustments'), ('brand_fee', 'Brand fees'), ('account_log', 'Account log')], default='trade', max_length=12, verbose_name='type')),
                ('address', models.CharField(max_length=300, verbose_name='address')),
                ('options', models.JSONField(blank=True, default=dict, verbose_name='settings')),
                ('secret', payops.core.crypto.EncryptedTextField(blank=True, default='', purpose='channels.file_source', verbose_name='secret')),
                ('secret_file', models.CharField(blank=True, max_length=200, verbose_name='file of the secret')),
                ('first_day', models.DateField(verbose_name='first channel day')),
                ('first_try', models.TimeField(verbose_name='first try')),
                ('every_minutes', models.PositiveSmallIntegerField(default=15, verbose_name='every (minutes)')),
                ('deadline', models.TimeField(verbose_name='deadline')),
                ('empty_after', models.TimeField(blank=True, null=True, verbose_name='empty day from')),
                ('active', models.BooleanField(default=True, verbose_name='active')),
                ('is_current', models.BooleanField(default=True, verbose_name='current')),
                ('made_by', models.CharField(max_length=150, verbose_name='made by')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('approval', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.approvalrequest', verbose_name='request')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sources', to='channels.channelcontract')),
            ],
            options={
                'verbose_name': 'file source',
                'verbose_name_plural': 'file sources',
                'ordering': ['contract', 'name', '-version'],
            },
        ),
        migrations.CreateModel(
            name='FetchAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel_date', models.DateField(verbose_name='channel date')),
                ('outcome', models.CharField(choices=[('taken', 'Taken'), ('known', 'Known already'), ('empty', 'Empty day'), ('nothing', 'Not there yet'), ('creating', 'Being made'), ('no_bill', 'No bill'), ('refused', 'Refused'), ('unreachable', 'Unreachable'), ('misconfigured', 'Set up wrongly')], max_length=13, verbose_name='outcome')),
                ('message', models.TextField(blank=True, verbose_name='message')),
                ('file_name', models.CharField(blank=True, max_length=200, verbose_name='file name')),
                ('remote', models.CharField(blank=True, max_length=300)),
                ('started_at', models.DateTimeField(verbose_name='started at')),
                ('finished_at', models.DateTimeField(verbose_name='finished at')),
                ('made_by', models.CharField(blank=True, max_length=150, verbose_name='by')),
                ('bill_file', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='channels.billfile')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='channels.channelcontract')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='channels.filesource')),
            ],
            options={
                'verbose_name': 'fetch attempt',
                'verbose_name_plural': 'fetch attempts',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='EmptyDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel_date', models.DateField(verbose_name='channel date')),
                ('own_count', models.PositiveIntegerField(verbose_name='own successes')),
                ('reason', models.TextField(verbose_name='reason')),
                ('declared_by', models.CharField(max_length=150, verbose_name='declared by')),
                ('declared_at', models.DateTimeField(auto_now_add=True, verbose_name='declared at')),
                ('approval', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.approvalrequest', verbose_name='request')),
                ('bill_file', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='empty_day', to='channels.billfile')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='empty_days', to='channels.channelcontract')),
            ],
            options={
                'verbose_name': 'empty day',
                'verbose_name_plural': 'empty days',
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('own_count', 0), ('approval__isnull', False), _connector='OR'), name='empty_day_with_successes_is_approved')],
            },
        ),
        migrations.AddConstraint(
            model_name='filesource',
            constraint=models.UniqueConstraint(fields=('contract', 'name', 'version'), name='file_source_version'),
        ),
        migrations.AddConstraint(
            model_name='filesource',
            constraint=models.UniqueConstraint(condition=models.Q(('is_current', True)), fields=('contract', 'name'), name='file_source_one_current'),
        ),
        migrations.AddConstraint(
            model_name='filesource',
            constraint=models.CheckConstraint(condition=models.Q(('every_minutes__gte', 1), ('every_minutes__lte', 720)), name='file_source_every_minutes'),
        ),
        migrations.AddConstraint(
            model_name='filesource',
            constraint=models.CheckConstraint(condition=models.Q(('deadline__gte', models.F('first_try'))), name='file_source_deadline_after_first'),
        ),
        migrations.AddConstraint(
            model_name='filesource',
            constraint=models.CheckConstraint(condition=models.Q(('empty_after__isnull', True), models.Q(('bill_type', 'trade'), ('empty_after__gte', models.F('first_try'))), _connector='OR'), name='file_source_empty_after_first'),
        ),
        migrations.AddIndex(
            model_name='fetchattempt',
            index=models.Index(fields=['contract', 'channel_date'], name='fetch_attempt_day_idx'),
        ),
        migrations.AddIndex(
            model_name='fetchattempt',
            index=models.Index(condition=models.Q(('remote', ''), _negated=True), fields=['source', 'remote'], name='fetch_attempt_remote_idx'),
        ),
        migrations.AddConstraint(
            model_name='fetchattempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('bill_file__isnull', False), ('outcome__in', ['taken', 'known', 'empty'])), models.Q(models.Q(('outcome__in', ['taken', 'known', 'empty']), _negated=True), ('bill_file__isnull', True)), _connector='OR'), name='fetch_attempt_file_when_taken'),
        ),
        migrations.AddConstraint(
            model_name='fetchattempt',
            constraint=models.CheckConstraint(condition=models.Q(('finished_at__gte', models.F('started_at'))), name='fetch_attempt_ends_after'),
        ),
        migrations.RunSQL(guards_fetch.create(), guards_fetch.drop()),
    ]
