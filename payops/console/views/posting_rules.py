"""Posting rules: what each event books, its versions with their differences, what is missing, and a new version."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import dotted
from payops.accounts.choices import LINE_EVENTS, Event, OwnerKind, Side
from payops.accounts.models import AccountingDay, PostingRule, Subject, Voucher
from payops.accounts.posting import Line
from payops.accounts.rule_approval import newest_version, posting_rule_propose
from payops.accounts.rule_preview import (
    Example,
    Preview,
    example_of_voucher,
    latest_example,
    rule_difference,
    rule_preview,
    rules_missing,
)
from payops.accounts.rules import ROLES, rule_lines_errors
from payops.accounts.selectors import open_day
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import latest_day
from payops.console.forms import DATE
from payops.console.lists import Button
from payops.console.shell import action, page, view
from payops.console.views.accounts_admin import owner_url
from payops.console.vouchers import subject_name
from payops.console.words import word
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.core.money import parse_amount
from payops.core.retelling import retold

LEAST_ROWS: Final = 2
BLANK_ROWS: Final = 2
MOST_ROWS: Final = 60
_AMOUNT: Final = re.compile(r"\s*(?P<name>[A-Z][a-z]?)\s*=?\s*(?P<amount>-?[\d,.]+)\s*;?")

# --- the list ---------------------------------------------------------------------------------------------------------


@view("ledger.view")
def posting_rule_list(request: HttpRequest) -> HttpResponseBase:
    """What each event books today, in the version in force; and what is missing for posting."""
    try:
        today = open_day()
    except PayopsError:
        today = latest_day()
    active = PostingRule.objects.filter(state="active", effective_day__lte=today)
    in_force = active.order_by("event", "-effective_day", "-version").distinct("event")
    newest = dict(PostingRule.objects.order_by().values_list("event").annotate(newest=Max("version")))
    rows = []
    for rule in in_force:
        later = newest[rule.event] > rule.version
        rows.append(
            [
                cells.number(rule.event),
                cells.text(rule.get_event_display(), link("posting_rule", rule.pk)),
                Cell(_("version %d") % rule.version, note=_("a newer one waits") if later else ""),
                cells.date(rule.effective_day if rule.effective_day.year > 2000 else None),
                _side_cell(rule.lines, Side.DEBIT),
                _side_cell(rule.lines, Side.CREDIT),
            ]
        )
    columns = [
        Column(_("Event code")),
        Column(_("Event")),
        Column(_("Version")),
        Column(_("Effective from")),
        Column(_("Debit")),
        Column(_("Credit")),
    ]
    table = Table(columns, rows, empty=_("No posting rule has been loaded yet."))
    tables = [*_missing_tables(today, may_propose=request.user.may("adjustments.propose")), table]
    return page(request, "console/detail.html", {"tables": tables}, title=_("Posting rules"))


def _missing_tables(today: dt.date, *, may_propose: bool) -> list[Table]:
    """Events without a rule and owners without an account a rule needs; no table where nothing is missing."""
    missing = rules_missing(today)
    tables = []
    if missing.events:
        rows = [
            [
                cells.number(int(event)),
                cells.text(event.label),
                cells.text(_("Propose a rule"), link("posting_rule_new", int(event))) if may_propose else Cell(""),
            ]
            for event in missing.events
        ]
        columns = [Column(_("Event code")), Column(_("Event")), Column("")]
        tables.append(Table(columns, rows, title=_("Events without a rule in force")))
    if missing.accounts:
        rows = [
            [
                cells.text(OwnerKind(gap.owner_kind).label),
                cells.number(gap.owner_no or "–", owner_url(gap.owner_kind, gap.owner_no)),
                cells.text(gap.currency),
                Cell(", ".join(dotted(code) for code in gap.missing), css="c-wrap"),
            ]
            for gap in missing.accounts
        ]
        columns = [Column(_("Owner")), Column(_("Owner number")), Column(_("Currency")), Column(_("Missing"))]
        tables.append(Table(columns, rows, title=_("Owners without an account that a rule needs")))
    return tables


def _side_cell(lines: list[dict[str, str]], side: str) -> Cell:
    texts = [f"{line['subject']} {line['amount']}" for line in lines if line["side"] == side]
    return cells.number(" · ".join(texts))


# --- one version ------------------------------------------------------------------------------------------------------


@view("ledger.view")
def posting_rule(request: HttpRequest, rule_id: int) -> HttpResponseBase:
    """One version of a rule: its lines, what it changed, and the other versions of its event."""
    rule = PostingRule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise Http404
    before = PostingRule.objects.filter(event=rule.event, version__lt=rule.version).order_by("-version").first()
    facts = [
        (_("Event code"), cells.number(rule.event)),
        (_("Summary text"), cells.text(retold(rule.summary))),
        (_("Version"), cells.text(rule.version)),
        (_("Effective from"), cells.date(rule.effective_day)),
        (_("Vouchers"), cells.text(_("of the latest day"), link("voucher_list", day=latest_day(), event=rule.event))),
    ]
    tables = [_lines_table(rule.lines, title=_("Lines"))]
    if before is not None:
        title = _("What version %(version)d changed") % {"version": rule.version}
        tables.append(_difference_table(before.lines, rule.lines, title=title))
    tables.append(_version_table(rule.event))
    buttons = []
    if request.user.may("adjustments.propose"):
        buttons.append(Button(_("Propose a new version"), link("posting_rule_new", rule.event), primary=True))
    context = {
        "parent_title": _("Posting rules"),
        "parent_url": link("posting_rule_list"),
        "badges": [cells.state(rule)],
        "buttons": buttons,
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=rule.get_event_display())


def _lines_table(lines: Sequence[dict[str, str]], *, title: str) -> Table:
    names = {subject.code: subject for subject in Subject.objects.all()}
    rows = [
        [
            cells.text(Side(line["side"]).label),
            cells.number(line["subject"]),
            cells.text(subject_name(names[code]) if (code := line["subject"].replace(".", "")) in names else ""),
            cells.text(word(line["owner"])),
            cells.number(line["amount"]),
        ]
        for line in lines
    ]
    columns = [Column(_("Side")), Column(_("Subject")), Column(_("Name")), Column(_("Owner")), Column(_("Amount"))]
    table = Table(columns, rows, title=title)
    table.note = _("A negative result swaps the side; a zero line is left out.")
    return table


def _difference_table(old: Sequence[dict[str, str]], new: Sequence[dict[str, str]], *, title: str) -> Table:
    tones = {"+": ("success", _("Added")), "−": ("danger", _("Taken away")), " ": ("base", _("Kept"))}
    rows = [[Cell(tones[sign][1], tone=tones[sign][0]), cells.number(text)] for sign, text in rule_difference(old, new)]
    return Table([Column(""), Column(_("Line"))], rows, title=title)


def _version_table(event: int) -> Table:
    rows = [
        [
            cells.text(_("version %d") % each.version, link("posting_rule", each.pk)),
            cells.date(each.effective_day),
            cells.state(each),
            cells.text(each.created_by or "–"),
            cells.moment(each.created_at),
        ]
        for each in PostingRule.objects.filter(event=event).order_by("-version")
    ]
    columns = [
        Column(_("Version")),
        Column(_("Effective from")),
        Column(_("State")),
        Column(_("By")),
        Column(_("Made at")),
    ]
    return Table(columns, rows, title=_("Versions"))


# --- a new version ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RuleRow:
    """One line of the form as it was written, with what is wrong with it."""

    side: str = ""
    subject: str = ""
    owner: str = ""
    amount: str = ""
    error: str = ""

    @property
    def line(self) -> dict[str, str]:
        """The line as a rule keeps it."""
        return {name: value for name, value in asdict(self).items() if name != "error"}


@dataclass(slots=True)
class _Shown:
    """What the page shows besides the form."""

    trouble: str = ""
    tables: list[Table] = field(default_factory=list)


class VersionForm(forms.Form):
    """From when, why, and the example to try the lines on."""

    effective_day = forms.DateField(label=gettext_lazy("Effective from"), widget=DATE)
    summary = forms.CharField(label=gettext_lazy("Summary text"), max_length=120, required=False)
    reason = forms.CharField(
        label=gettext_lazy("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=2000
    )
    voucher = forms.IntegerField(
        label=gettext_lazy("Example: voucher"),
        required=False,
        min_value=1,
        help_text=gettext_lazy("The latest voucher of the event if left out."),
    )
    amounts = forms.CharField(
        label=gettext_lazy("Example: amounts"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Instead of those of the voucher, such as A=100.00 F=0.60"),
    )


@action("adjustments.propose", methods=("GET", "POST"))
def posting_rule_new(request: HttpRequest, event: int) -> HttpResponse:
    """Write a new version, try it on an example, propose it; each error stands at its line."""
    if event not in Event.values or event in LINE_EVENTS:
        raise Http404
    now = newest_version(event)
    if request.method == "POST":
        form, rows = VersionForm(request.POST), _rows_sent(request)
    else:
        initial = {"effective_day": _first_day(), "summary": now.summary if now else ""}
        form, rows = VersionForm(initial=initial), [RuleRow(**line) for line in now.lines] if now else []
    shown = _Shown()
    if request.method == "POST":
        sound = _lines_sound(rows, shown)
        if form.is_valid() and sound:
            try:
                if "propose" in request.POST:
                    proposed = posting_rule_propose(
                        event=event,
                        lines=[row.line for row in rows],
                        effective_day=form.cleaned_data["effective_day"],
                        summary=form.cleaned_data["summary"],
                        reason=form.cleaned_data["reason"],
                        maker=request.user,
                    )
                    messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.pk)
                    return redirect(link("approval", proposed.pk))
                shown.tables = _tried(event, rows, form.cleaned_data, now)
            except PayopsError as error:
                shown.trouble = str(error)
    context = {
        "parent_title": _("Posting rules"),
        "parent_url": link("posting_rule", now.pk) if now else link("posting_rule_list"),
        "form": form,
        "rows": [*rows, *(RuleRow() for _n in range(max(LEAST_ROWS - len(rows), BLANK_ROWS)))],
        "sides": Side.choices,
        "owners": [(role, word(role)) for role in ROLES],
        "subjects": Subject.objects.filter(is_leaf=True).order_by("code"),
        "trouble": shown.trouble,
        "tables": shown.tables,
    }
    wrong = shown.trouble or form.errors or any(row.error for row in rows)
    return page(
        request,
        "console/posting_rule_form.html",
        context,
        title=_("New version: %(event)s") % {"event": Event(event).label},
        status=400 if wrong else 200,
    )


def _first_day() -> dt.date:
    newest = AccountingDay.objects.order_by("-day").values_list("day", flat=True).first()
    return (newest or latest_day()) + dt.timedelta(days=1)


def _rows_sent(request: HttpRequest) -> list[RuleRow]:
    """The lines of the form; one without subject and amount is none."""
    columns = [request.POST.getlist(name)[:MOST_ROWS] for name in ("side", "subject", "owner", "amount")]
    rows = [RuleRow(*(text[:60].strip() for text in row)) for row in zip(*columns, strict=False)]
    return [row for row in rows if row.subject or row.amount]


def _lines_sound(rows: list[RuleRow], shown: _Shown) -> bool:
    """Whether the lines can become a version; what is wrong with one is written beside it, the rest above the form."""
    errors = rule_lines_errors([row.line for row in rows])
    for error in errors:
        number = error.context.get("line")
        if number:
            rows[number - 1].error = str(error)
        else:
            shown.trouble = str(error)
    return not errors


def _tried(event: int, rows: list[RuleRow], data: dict[str, Any], now: PostingRule | None) -> list[Table]:
    """The differences to the newest version, and old lines beside new ones for the example."""
    lines = [row.line for row in rows]
    tables = [_difference_table(now.lines if now else [], lines, title=_("What changes"))]
    example = _example(event, data)
    if example is None:
        tables.append(Table([], [], title=_("Example"), empty=_("There is no voucher of this event; type amounts in.")))
        return tables
    preview = rule_preview(event=event, lines=lines, example=example, day=latest_day())
    return [*tables, _preview_table(preview)]


def _example(event: int, data: dict[str, Any]) -> Example | None:
    """The voucher named, else the latest of the event, with the amounts typed in put in place of its own."""
    found = latest_example(event)
    if data["voucher"]:
        voucher = Voucher.objects.filter(pk=data["voucher"], event=event).first()
        if voucher is None:
            raise PayopsError(
                "rules.example",
                _("There is no voucher %(voucher)s of this event.") % {"voucher": data["voucher"]},
            )
        found = example_of_voucher(voucher)
    if not data["amounts"]:
        return found
    currency = found.currency if found else "CNY"
    typed = _typed_amounts(data["amounts"], currency)
    owners = found.owners if found else dict.fromkeys(("merchant", "channel", "bank", "own_bank"), "–")
    return Example({**(found.amounts if found else {}), **typed}, owners, currency)


def _typed_amounts(text: str, currency: str) -> dict[str, int]:
    amounts: dict[str, int] = {}
    position = 0
    while position < len(text.rstrip()):
        match = _AMOUNT.match(text, position)
        if match is None:
            raise PayopsError(
                "rules.example",
                _("“%(text)s” cannot be read. Write the amounts as A=100.00 F=0.60.") % {"text": text[position:]},
            )
        amounts[match["name"]] = parse_amount(match["amount"], currency)
        position = match.end()
    return amounts


def _preview_table(preview: Preview) -> Table:
    example = preview.example
    names = {subject.code: subject for subject in Subject.objects.all()}

    def cells_of(line: Line | None) -> list[Cell]:
        if line is None:
            return [cells.text("")] * 3
        debit = line.side == Side.DEBIT
        shown = cells.money(line.amount, example.currency)
        account = cells.text(
            f"{dotted(line.subject)} {subject_name(names[line.subject])}" if line.subject in names else line.subject,
            note=line.owner_no,
        )
        return [account, shown if debit else cells.text(""), cells.text("") if debit else shown]

    length = max(len(preview.old), len(preview.new))
    old = [*preview.old, *[None] * (length - len(preview.old))]
    new = [*preview.new, *[None] * (length - len(preview.new))]
    rows = [cells_of(before) + cells_of(after) for before, after in zip(old, new, strict=True)]
    columns = [
        Column(_("Now")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("New version")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]
    amounts = " ".join(f"{name}={money(value, example.currency)}" for name, value in sorted(example.amounts.items()))
    title = (
        _("Tried on voucher %(voucher)s: %(amounts)s") % {"voucher": example.voucher_id, "amounts": amounts}
        if example.voucher_id
        else _("Tried on %(amounts)s") % {"amounts": amounts}
    )
    table = Table(columns, rows, title=title, empty=_("All lines are zero; nothing would be booked."))
    if example.assumed:
        table.note = _("The entries do not tell %(names)s apart; what they leave open counts as 0.") % {
            "names": ", ".join(example.assumed)
        }
    return table


urlpatterns = [
    path("ledger/posting-rules/", posting_rule_list, name="posting_rule_list"),
    path("ledger/posting-rules/<int:rule_id>/", posting_rule, name="posting_rule"),
    path("ledger/posting-rules/event/<int:event>/new/", posting_rule_new, name="posting_rule_new"),
]
