"""Day totals, classification and the guards of periods; days closed before get their totals and periods."""

import django.db.models.deletion
from django.db import migrations, models

import payops.accounts.choices
from payops.accounts import period_guards
from payops.accounts.periods import day_results_write


def fill_closed_days(apps, schema_editor):
    """What `close_day` writes from now on, for the days closed before; the guards come after it."""
    days = apps.get_model("accounts", "AccountingDay").objects.filter(state="closed").order_by("day")
    for day in days.values_list("day", flat=True):
        day_results_write(day)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_accounts_configuration'),
    ]

    operations = [
        migrations.CreateModel(
            name='ClassificationCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=20, unique=True, verbose_name='code')),
                ('name', models.CharField(max_length=80, verbose_name='name')),
                ('name_zh', models.CharField(max_length=80, verbose_name='Chinese name')),
            ],
            options={
                'verbose_name': 'classification code',
                'verbose_name_plural': 'classification codes',
                'ordering': ['code'],
            },
        ),
        migrations.CreateModel(
            name='ClassificationRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.PositiveSmallIntegerField(choices=payops.accounts.choices.event_choices, unique=True, verbose_name='event')),
                ('code', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rules', to='accounts.classificationcode')),
            ],
            options={
                'verbose_name': 'classification rule',
                'verbose_name_plural': 'classification rules',
                'ordering': ['event'],
            },
        ),
        migrations.CreateModel(
            name='DayTotal',
            fields=[
                ('pk', models.CompositePrimaryKey('day', 'subject', 'event', 'currency', blank=True, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField(verbose_name='day')),
                ('event', models.PositiveSmallIntegerField(choices=payops.accounts.choices.event_choices, verbose_name='business code')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('debit', models.BigIntegerField(verbose_name='debit turnover (minor units)')),
                ('credit', models.BigIntegerField(verbose_name='credit turnover (minor units)')),
                ('debit_count', models.BigIntegerField(verbose_name='debit entries')),
                ('credit_count', models.BigIntegerField(verbose_name='credit entries')),
                ('subject', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='day_totals', to='accounts.subject')),
            ],
            options={
                'verbose_name': 'day total',
                'verbose_name_plural': 'day totals',
                'ordering': ['day', 'subject', 'event', 'currency'],
            },
        ),
        migrations.CreateModel(
            name='ReportLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('report', models.CharField(max_length=40, verbose_name='report')),
                ('number', models.PositiveSmallIntegerField(verbose_name='line')),
                ('name', models.CharField(max_length=80, verbose_name='name')),
                ('name_zh', models.CharField(max_length=80, verbose_name='Chinese name')),
            ],
            options={
                'verbose_name': 'report line',
                'verbose_name_plural': 'report lines',
                'ordering': ['report', 'number'],
                'constraints': [models.UniqueConstraint(fields=('report', 'number'), name='report_line_once')],
            },
        ),
        migrations.CreateModel(
            name='ReportTerm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('side', models.CharField(choices=[('D', 'Debit'), ('C', 'Credit')], max_length=1, verbose_name='side')),
                ('sign', models.SmallIntegerField(verbose_name='sign')),
                ('code', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='terms', to='accounts.classificationcode')),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='terms', to='accounts.reportline')),
                ('subject', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.subject')),
            ],
            options={
                'verbose_name': 'report term',
                'verbose_name_plural': 'report terms',
                'ordering': ['line', 'code', 'subject', 'side'],
                'constraints': [models.UniqueConstraint(fields=('line', 'code', 'subject', 'side'), name='report_term_once'), models.CheckConstraint(condition=models.Q(('sign__in', [1, -1])), name='report_term_sign')],
            },
        ),
        migrations.RunPython(fill_closed_days, migrations.RunPython.noop),
        # Foreign keys are checked at commit; a table with checks still to make takes no new triggers.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.RunSQL(period_guards.period_guards(), period_guards.period_guards_reverse()),
    ]
