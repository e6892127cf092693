"""The workbench: one channel day on one screen, both sides beside each other, worked from the keyboard."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from payops.accounts.selectors import last_closed_day
from payops.channels.bills.selectors import contract_by_code
from payops.channels.choices import FileState
from payops.channels.models import ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button, keyset
from payops.console.shell import action, came_from, page, view
from payops.console.tables import kind_label
from payops.console.views.result_exports import export_offer, my_exports
from payops.console.views.runs import equation_table, unmatched_count
from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.formatting import local_name, money
from payops.core.models import JobRun
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.selectors import reference_day
from payops.discrepancies.services import cases_assign_many
from payops.identity.choices import Role
from payops.identity.models import User
from payops.reconciliation.choices import ReceiptState, ResultKind
from payops.reconciliation.jobs import RUN_JOB, run_enqueue
from payops.reconciliation.models import ReconRun
from payops.reconciliation.workbench import (
    MARK_TONES,
    DayMark,
    Difference,
    TimelineDay,
    differences,
    kinds_of,
    timeline,
    with_both_sides,
)

HANDS: Final = [
    ("open", gettext_lazy("Open")),
    ("nobody", gettext_lazy("Without owner")),
    ("mine", gettext_lazy("Mine")),
    ("all", gettext_lazy("All")),
]
KEYS: Final = [
    ("j  k", gettext_lazy("next, previous difference")),
    ("Enter", gettext_lazy("open its case")),
    ("e", gettext_lazy("whole story")),
    ("t  l", gettext_lazy("our transaction, the channel's line")),
    ("x", gettext_lazy("tick")),
    ("a", gettext_lazy("tick all on this page")),
    ("h", gettext_lazy("hand over what is ticked")),
    ("1 … 9  0", gettext_lazy("only this result, all results")),
    ("n  p", gettext_lazy("next, previous page")),
    ("[  ]", gettext_lazy("day before, day after")),
    ("/", gettext_lazy("find a number")),
    ("?", gettext_lazy("this help")),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Which channel day is on the bench, and how its differences are filtered."""

    contract: ChannelContract
    day: dt.date
    kind: str = ""
    hands: str = ""

    def url(self, **changes: Any) -> str:
        """The address of the same place with something changed."""
        values = {"contract": self.contract.code, "day": self.day, "kind": self.kind, "hands": self.hands} | changes
        return link("workbench", **values)


class HandOverForm(forms.Form):
    """To whom, and a word with it."""

    owner = forms.ModelChoiceField(label=gettext_lazy("To"), queryset=User.objects.none(), empty_label=None)
    note = forms.CharField(label=gettext_lazy("Note"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = User.objects.filter(role=Role.OPERATIONS, is_active=True).order_by("username")


@view("runs.view")
def workbench(request: HttpRequest) -> HttpResponseBase:
    """One channel and day; without one the last closed day of the first channel."""
    contracts = list(ChannelContract.objects.filter(active=True).select_related("channel").order_by("code"))
    if not contracts:
        raise PayopsError("channels.unknown_contract", _("No channel is set up yet. Load the set-up file first."))
    place = _place(request, contracts)
    days = timeline(place.contract, _last_shown(place.day))
    here = next(day for day in days if day.day == place.day)
    context = {"place": place, "here": here, **_result_part(request, place, here)}
    if request.htmx and not request.htmx.history_restore_request:
        response = render(request, "console/_workbench_results.html", context)
    else:
        context |= _frame_part(request, place, here, days, contracts)
        response = page(request, "console/workbench.html", context, title=_("Workbench"))
    patch_vary_headers(response, ["HX-Request"])
    return response


def _place(request: HttpRequest, contracts: list[ChannelContract]) -> Place:
    code = request.GET.get("contract", "")
    contract = next((each for each in contracts if each.code == code), None) if code else contracts[0]
    try:
        day = parse_date(request.GET.get("day", "")) if request.GET.get("day") else last_closed_day() or reference_day()
    except ValueError:
        day = None
    if contract is None or day is None:
        raise PayopsError("console.invalid", _("Choose a channel of the list and a date as 2026-11-20."))
    kind, hands = request.GET.get("kind", ""), request.GET.get("hands", "")
    kind = kind if kind in ResultKind.values else ""
    # What somebody has to act on comes first; of one result everything is looked at.
    return Place(contract, day, kind, hands if hands in dict(HANDS) else "all" if kind else "open")


def _last_shown(day: dt.date) -> dt.date:
    """The timeline ends a few days after the day at hand where time has gone on, else with it."""
    return max(day, min(reference_day(), day + dt.timedelta(days=7)))


# --- the frame: channels, days, both totals ---------------------------------------------------------------------------


def _frame_part(
    request: HttpRequest, place: Place, here: TimelineDay, days: list[TimelineDay], contracts: list[ChannelContract]
) -> dict[str, Any]:
    running = _job_under_way(place)
    return {
        "channels": [
            {
                "code": each.code,
                "name": local_name(each.channel),
                "url": place.url(contract=each.code, kind="", hands=""),
                "current": each == place.contract,
            }
            for each in contracts
        ],
        "timeline": [_day(place, day) for day in days],
        "previous_url": place.url(day=place.day - dt.timedelta(days=1), kind=""),
        "next_url": place.url(day=place.day + dt.timedelta(days=1), kind=""),
        "badges": [cells.badge("", here.mark.label, tone=MARK_TONES[here.mark])],
        "buttons": _buttons(request, place, here),
        "facts": _facts(place, here),
        "both_table": _both_table(here.run, place.contract.currency) if here.run else None,
        "equation_table": equation_table(here.run) if here.run else None,
        "advice": "" if here.run else _advice(here),
        "reload_seconds": 3 if running else 0,
        "keys": KEYS,
        **my_exports(request),
    }


def _job_under_way(place: Place) -> bool:
    jobs = JobRun.objects.filter(
        kind=RUN_JOB, business_date=place.day, state__in=[JobState.QUEUED, JobState.RUNNING, JobState.WAITING]
    )
    return jobs.filter(params__channel=place.contract.code).exists()


def _day(place: Place, day: TimelineDay) -> dict[str, Any]:
    number = day.definite + day.in_doubt
    words = [day.day.isoformat(), str(day.mark.label)]
    if number:
        words.append(_("%d open") % number)
    if day.receipt is not None:
        words.append(_("Receipt: %s") % day.receipt.get_state_display())
    return {
        "url": place.url(day=day.day, kind="", hands=place.hands),
        "label": f"{day.day:%d}",
        "month": f"{day.day:%m}" if day.day.day == 1 else "",
        "weekend": day.day.weekday() >= 5,
        "count": f"{number:,}" if number and number < 1000 else "999+" if number else "",
        "tone": MARK_TONES[day.mark],
        "receipt": "" if day.receipt is None else cells.TONES[day.receipt.state],
        "title": " · ".join(words),
        "current": day.day == place.day,
    }


def _buttons(request: HttpRequest, place: Place, here: TimelineDay) -> list[Button]:
    buttons = []
    may_start = request.user.may("runs.start")
    if (
        may_start
        and here.mark not in (DayMark.AHEAD, DayMark.NONE)
        and here.file is not None
        and here.file.state == FileState.ACCEPTED
    ):
        buttons.append(
            Button(
                _("Run again") if here.run else _("Run now"),
                link("workbench_run"),
                post=True,
                primary=here.run is None,
                confirm=_("The day is compared again; only what differs is booked. Go on?") if here.run else "",
                fields={"contract": place.contract.code, "day": place.day.isoformat()},
            )
        )
    if here.run is None and here.mark == DayMark.NO_BILL and request.user.may("files.upload"):
        upload = link("bill_file_upload", contract=place.contract.code, date=place.day.isoformat())
        buttons.append(Button(_("Upload a bill"), upload, primary=True))
    if here.run is not None:
        buttons.append(Button(_("Run #%d") % here.run.run_no, link("run", here.run.pk)))
        if here.run.run_no > 1:
            buttons.append(Button(_("Compare with another run"), link("run_compare", here.run.pk)))
    day = place.day.isoformat()
    buttons.append(Button(_("Transactions"), link("transaction_list", day=day, contract=place.contract.code)))
    buttons.append(Button(_("Cases"), link("case_list", contract=place.contract.code, state="open_states")))
    return buttons


def _facts(place: Place, here: TimelineDay) -> list[tuple[Any, Cell]]:
    currency = place.contract.currency
    file, receipt, run = here.file, here.receipt, here.run
    facts: list[tuple[Any, Cell]] = []
    if file is None:
        facts.append((_("Bill file"), cells.badge("waiting", _("missing"))))
    else:
        note = f"{file.original_name} v{file.version}"
        shown = cells.state(file, url=link("bill_file", file.pk))
        unproven = _("Unproven")
        proven = "" if file.proven else f" · {unproven}"
        facts.append((_("Bill file"), Cell(shown.text, shown.url, tone=shown.tone, note=f"{note}{proven}")))
    if receipt is None:
        facts.append((_("Receipt"), cells.text("–")))
    else:
        tone = "info" if receipt.state == ReceiptState.WAITING else ""
        badge = cells.badge(receipt.state, receipt.get_state_display(), link("receipt", receipt.pk), tone=tone)
        due = _("%(received)s of %(due)s, due %(day)s") % {
            "received": money(receipt.received, currency),
            "due": money(receipt.due, currency),
            "day": receipt.due_date,
        }
        facts.append((_("Receipt"), Cell(badge.text, badge.url, tone=badge.tone, note=due)))
    if run is not None:
        facts.append(
            (
                _("Matched"),
                Cell(f"{run.matched_count:,}", note=_("%d not simply matched") % unmatched_count(run)),
            )
        )
        facts.append((_("Run"), Cell(f"#{run.run_no}", link("run", run.pk), note=cells.moment(run.finished_at).text)))
    return facts


def _both_table(run: ReconRun, currency: str) -> Table:
    """Both totals over each other, and what they differ by."""
    cost = sum(sums.get("channel_fee", 0) for sums in run.totals.values())
    rows = [
        [
            cells.text(_("Ours")),
            cells.count(run.own_count),
            cells.money(run.own_amount, currency),
            cells.text(""),
        ],
        [
            cells.text(_("Channel"), link("bill_file", run.file_id)),
            cells.count(run.channel_count),
            cells.money(run.channel_amount, currency),
            cells.money(cost, currency),
        ],
    ]
    difference = run.channel_count - run.own_count
    table = Table(
        [
            Column(""),
            Column(_("Rows"), "c-amount"),
            Column(_("Amount"), "c-amount"),
            Column(_("Channel fee"), "c-amount"),
        ],
        rows,
        title=_("Both sides"),
    )
    table.foot = [
        cells.text(_("Difference")),
        Cell(f"{difference:+,}" if difference else "0", css="c-amount"),
        cells.money(run.channel_amount - run.own_amount, currency, signed=True),
        cells.text(""),
    ]
    return table


def _advice(here: TimelineDay) -> str:
    """What a day without a run waits for, and who moves it."""
    sentences = {
        DayMark.NONE: _("No accounting day of ours has this date."),
        DayMark.AHEAD: _("The day is not closed yet, so its own transactions are not complete."),
        DayMark.NO_BILL: _("No bill has been accepted for this day. Upload it, or wait for it to be fetched."),
        DayMark.HELD: _("The bill is held: open it, see why, and decide."),
        DayMark.TO_RUN: _("The bill is accepted and the day closed: it can be run."),
    }
    return sentences.get(here.mark, "")


# --- the differences --------------------------------------------------------------------------------------------------


def _result_part(request: HttpRequest, place: Place, here: TimelineDay) -> dict[str, Any]:
    run = here.run
    if run is None:
        return {"rows": [], "tiles": []}
    run.contract = place.contract
    pages = keyset(
        request,
        differences(run, kind=place.kind, hands=place.hands, user=request.user),
        descending=False,
    )
    may_hand_over = request.user.may("cases.propose")
    today = reference_day()
    return {
        "tiles": _tiles(place, run),
        "hands": [
            {"label": label, "url": place.url(hands=value), "current": place.hands == value} for value, label in HANDS
        ],
        "rows": [_row(row, run.contract.currency, today) for row in with_both_sides(pages.rows)],
        "pages": pages,
        "hand_over_form": HandOverForm(initial={"owner": request.user}) if may_hand_over else None,
        **export_offer(request, "results", run=run.pk, kind=place.kind, hands=place.hands),
        "run": run,
        "empty": _empty(place, run),
    }


def _empty(place: Place, run: ReconRun) -> str:
    if not unmatched_count(run):
        return _("Every row matched.")
    if place.hands == "open" and not place.kind:
        return _("Nobody has to act on this day any more. “All” shows what its run found.")
    return _("Nothing matches these filters.")


def _tiles(place: Place, run: ReconRun) -> list[dict[str, Any]]:
    """Matched first, then every result there is; choosing one filters, choosing it again shows all."""
    tiles = []
    for kind, figures in kinds_of(run):
        chosen = place.kind == kind.value
        matched = kind == ResultKind.MATCHED
        tiles.append(
            {
                "value": f"{figures['count']:,}",
                "label": kind.label,
                "note": money(figures["amount"], run.contract.currency),
                "tone": "success" if matched else cells.RESULT_TONES.get(kind.value, "danger"),
                "url": "" if matched else place.url(kind="" if chosen else kind.value, hands="all"),
                "chosen": chosen,
            }
        )
    return tiles


def _row(row: Difference, currency: str, today: dt.date) -> dict[str, Any]:
    result, case = row.result, row.result.case
    own_url = link("transaction", result.transaction_id) if result.transaction_id else ""
    line_url = link("bill_line", result.bill_line_id) if result.bill_line_id else ""
    case_url = link("case_detail", case.pk) if case else ""
    return {
        "pk": result.pk,
        "label": f"{result.get_kind_display()} {result.match_key}",
        "result": cells.result(result.kind, result.get_kind_display()),
        "key": result.match_key,
        "own": _own(row, currency, own_url),
        "line": _line(row, currency, line_url),
        "off": _off(row),
        "d": cells.money(result.d, currency, signed=True),
        "item": cells.state(result.item) if result.item else None,
        "case": cells.number(case.case_no, case_url, note=_case_note(case, today)) if case else None,
        "selectable": case is not None and case.is_open,
        "open_url": case_url or own_url or line_url,
        "own_url": own_url,
        "line_url": line_url,
        "story_url": link("explain", q=result.transaction_id or result.bill_line_id or result.match_key),
    }


def _own(row: Difference, currency: str, url: str) -> dict[str, Any] | None:
    if row.own is None:
        return None
    own = row.own
    return {
        "number": cells.number(own.transaction_no, url, note=_words(own.created_at, own.merchant.merchant_no)),
        "state": f"{own.get_kind_display()} · {own.get_status_display()}",
        "amount": _amount(row.result.own_amount, row.result.own_fee, currency, _("expected fee %s")),
    }


def _line(row: Difference, currency: str, url: str) -> dict[str, Any] | None:
    if row.line is None:
        return None
    line = row.line
    return {
        "number": cells.number(
            line.trade_no or line.pk, url, note=_words(line.occurred_at, _("Line %d") % line.line_no)
        ),
        "state": f"{kind_label(line.kind)} · {line.status}",
        "amount": _amount(row.result.channel_amount, row.result.channel_fee, currency, _("fee %s")),
    }


def _amount(amount: int, fee: int, currency: str, words: str) -> Cell:
    cell = cells.money(amount, currency)
    return Cell(cell.text, css=cell.css, note=words % money(fee, currency) if fee else "")


def _words(at: dt.datetime | None, what: str) -> str:
    """When, as an operator reads it beside other rows of the day, and whose."""
    return f"{timezone.localtime(at):%m-%d %H:%M:%S} · {what}" if at else what


def _off(row: Difference) -> str:
    """Which figures of a pair stand out; of what is alone nothing can."""
    if row.own is None or row.line is None:
        return ""
    result = row.result
    if result.own_amount != result.channel_amount:
        return "amount"
    return "fee" if result.kind == ResultKind.FEE else ""


def _case_note(case: Discrepancy, today: dt.date) -> str:
    owner = case.owner.username if case.owner else pgettext("case", "no owner")
    if not case.is_open:
        return str(case.get_state_display())
    age = max(0, (today - case.business_date).days)
    words = [owner, f"T+{age}"]
    if case.escalated_at:
        words.append(_("escalated"))
    return " · ".join(words)


# --- what is done from here -------------------------------------------------------------------------------------------


@action("runs.start")
def workbench_run(request: HttpRequest) -> HttpResponse:
    """Have a worker run the channel day."""
    contract = contract_by_code(request.POST.get("contract", ""))
    try:
        day = parse_date(request.POST.get("day", ""))
    except ValueError:
        day = None
    if day is None:
        raise PayopsError("console.invalid", _("Choose a channel of the list and a date as 2026-11-20."))
    job = run_enqueue(contract=contract, day=day, username=request.user.get_username())
    messages.success(request, _("The run is queued as job %d.") % job.pk)
    return redirect(link("workbench", contract=contract.code, day=day))


@action("cases.propose")
def workbench_hand_over(request: HttpRequest) -> HttpResponse:
    """Put the cases of the ticked differences, or of all that are filtered, into somebody's hands."""
    form = HandOverForm(request.POST)
    if not form.is_valid():
        raise PayopsError("console.invalid", _("Choose who takes the cases."))
    cases = _chosen_cases(request)
    if not cases:
        raise PayopsError("console.nothing_chosen", _("Tick differences that have an open case first."))
    owner = form.cleaned_data["owner"]
    moved = cases_assign_many(case_ids=cases, owner=owner, user=request.user, note=form.cleaned_data["note"].strip())
    messages.success(
        request,
        _("%(count)d cases are in the hands of %(owner)s now.") % {"count": moved, "owner": owner.username},
    )
    return redirect(came_from(request, link("workbench")))


def _chosen_cases(request: HttpRequest) -> list[int]:
    number = request.POST.get("run", "")
    run = ReconRun.objects.filter(pk=number).first() if number.isascii() and number.isdigit() else None
    if run is None:
        return []
    if request.POST.get("all"):
        kind, hands = request.POST.get("kind", ""), request.POST.get("hands", "")
        rows = differences(run, kind=kind if kind in ResultKind.values else "", hands=hands, user=request.user)
    else:
        ids = [int(value) for value in request.POST.getlist("ids") if value.isascii() and value.isdigit()]
        rows = run.result_rows.filter(pk__in=ids)
    return list(rows.filter(case__state__in=OPEN_STATES).order_by().values_list("case_id", flat=True).distinct())


urlpatterns = [
    path("workbench/", workbench, name="workbench"),
    path("workbench/run/", workbench_run, name="workbench_run"),
    path("workbench/hand-over/", workbench_hand_over, name="workbench_hand_over"),
]
