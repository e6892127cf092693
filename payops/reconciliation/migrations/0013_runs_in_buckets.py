"""A comparison in buckets of the matching key: what they are told, what each found, and the run made of them."""

import django.db.models.deletion
from django.db import migrations, models

from payops.reconciliation import guards_buckets


class Migration(migrations.Migration):

    dependencies = [
        ('channels', '0007_bill_line_key_digest'),
        ('core', '0002_archived_partitions'),
        ('reconciliation', '0012_pairs_kept_apart'),
    ]

    operations = [
        migrations.CreateModel(
            name='RunSplit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel_date', models.DateField(verbose_name='channel date')),
                ('batch', models.PositiveSmallIntegerField(default=1, verbose_name='batch')),
                ('buckets', models.PositiveSmallIntegerField(verbose_name='buckets')),
                ('inputs', models.JSONField()),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='channels.channelcontract')),
                ('file', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='channels.billfile', verbose_name='bill file')),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.jobrun')),
                ('run', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='split', to='reconciliation.reconrun')),
            ],
            options={
                'verbose_name': 'run in buckets',
                'verbose_name_plural': 'runs in buckets',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='RunBucket',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('bucket', models.PositiveSmallIntegerField(verbose_name='bucket')),
                ('turn', models.PositiveSmallIntegerField(default=1, verbose_name='turn')),
                ('own_count', models.BigIntegerField(verbose_name='own rows')),
                ('own_mark', models.BigIntegerField(verbose_name='mark of the own rows')),
                ('own_last', models.BigIntegerField(verbose_name='highest own id')),
                ('line_count', models.BigIntegerField(verbose_name='channel lines')),
                ('joined', models.JSONField()),
                ('milliseconds', models.PositiveIntegerField(verbose_name='milliseconds')),
                ('made_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.jobrun')),
                ('split', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='results', to='reconciliation.runsplit')),
            ],
            options={
                'verbose_name': 'bucket of a run',
                'verbose_name_plural': 'buckets of a run',
                'ordering': ['split', 'bucket', 'turn'],
            },
        ),
        migrations.AddConstraint(
            model_name='runsplit',
            constraint=models.CheckConstraint(condition=models.Q(('buckets__gte', 2), ('buckets__lte', 64)), name='run_split_buckets'),
        ),
        migrations.AddConstraint(
            model_name='runbucket',
            constraint=models.UniqueConstraint(fields=('split', 'bucket', 'turn'), name='run_bucket_compared_once'),
        ),
        migrations.RunSQL(guards_buckets.create(), guards_buckets.drop()),
    ]
