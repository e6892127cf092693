"""Where bills are fetched: how each source stands, every try, proposing a source, trying now, and empty days."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.fetch import approval, empty
from payops.channels.fetch.choices import OPTION_LABELS, FetchOutcome, SourceKind
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.models import ChannelContract
from payops.channels.schedules import (
    FETCH_JOB,
    DayStatus,
    SourceDay,
    current_sources,
    source_days,
    try_enqueue,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button, keyset
from payops.console.shell import action, came_from, page, view
from payops.console.source_forms import FORMS, SourceForm, initial_of
from payops.console.views.proposals import proposal_page
from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI
from payops.core.models import JobRun
from payops.core.retelling import retold

ATTEMPTS_SHOWN: Final = 20
RELOAD_SECONDS: Final = 3

STATUS: Final[dict[DayStatus, tuple[Any, str]]] = {
    DayStatus.HERE: (pgettext_lazy("fetch", "Here"), "success"),
    DayStatus.EMPTY: (pgettext_lazy("fetch", "Empty day"), "success"),
    DayStatus.PLANNED: (pgettext_lazy("fetch", "Planned"), "base"),
    DayStatus.TRYING: (pgettext_lazy("fetch", "Trying"), "warning"),
    DayStatus.LATE: (pgettext_lazy("fetch", "Late"), "danger"),
    DayStatus.NOT_WANTED: (pgettext_lazy("fetch", "Not wanted"), "base"),
}
OUTCOME_TONES: Final = {
    FetchOutcome.TAKEN: "success",
    FetchOutcome.KNOWN: "success",
    FetchOutcome.EMPTY: "success",
    FetchOutcome.NOTHING: "warning",
    FetchOutcome.CREATING: "warning",
    FetchOutcome.NO_BILL: "warning",
    FetchOutcome.UNREACHABLE: "danger",
    FetchOutcome.REFUSED: "danger",
    FetchOutcome.MISCONFIGURED: "danger",
}


@view("files.view")
def file_source_list(request: HttpRequest) -> HttpResponseBase:
    """The latest channel day of every source, earlier days that are still wanted, proposals and the last tries."""
    days = source_days(current_sources())
    latest = max((each.day for each in days), default=None)
    wanted = [each for each in days if each.is_due and each.day != latest]
    tables = [
        _day_table([each for each in days if each.day == latest], title=_("The latest channel day")),
        _proposal_table(),
        _attempt_table(
            FetchAttempt.objects.select_related("source", "contract", "bill_file")[:ATTEMPTS_SHOWN],
            title=_("The last tries"),
        ),
    ]
    if (ended := _ended_table()).rows:
        tables.append(ended)
    tables[0].empty = _("There is no source in force. Bills are uploaded by hand.")
    tables[0].note = _(
        "Times are those of the day after the channel day. Past the deadline a day is tried once an hour."
    )
    if wanted:
        tables.insert(1, _day_table(wanted, title=_("Earlier days still wanted")))
    context = {"buttons": _list_buttons(request, days), "tables": tables}
    return page(request, "console/detail.html", context, title=_("File sources"))


def _list_buttons(request: HttpRequest, days: list[SourceDay]) -> list[Button]:
    buttons = []
    if request.user.may("files.upload") and any(each.is_due for each in days):
        buttons.append(Button(_("Try all that is due"), link("file_source_try_due"), post=True, primary=True))
    if request.user.may("adjustments.propose"):
        buttons += [
            Button(_("New: %(kind)s") % {"kind": kind.label}, link("file_source_new", kind.value))
            for kind in SourceKind
        ]
        buttons.append(Button(_("Propose an empty day"), link("empty_day_new")))
    return buttons


def _status_cell(each: SourceDay) -> Cell:
    label, tone = STATUS[each.status]
    url = link("bill_file", each.bill_file.pk) if each.bill_file else ""
    return cells.badge(each.status.value, label, url, tone=tone)


def _day_table(days: list[SourceDay], *, title: str) -> Table:
    rows = [
        [
            cells.text(each.source.contract.code),
            cells.text(each.source.name, link("file_source", each.source.pk), note=each.source.get_kind_display()),
            cells.date(each.day),
            _status_cell(each),
            _clock(each.expected_at),
            _clock(each.deadline_at),
            cells.count(each.tries),
            _outcome_cell(each.last) if each.last else cells.text("–"),
            _clock(each.next_try),
        ]
        for each in days
    ]
    columns = [
        Column(_("Channel")),
        Column(_("Source")),
        Column(_("Channel date")),
        Column(_("State")),
        Column(_("Expected")),
        Column(_("Deadline")),
        Column(_("Tries"), "c-amount"),
        Column(_("Last try")),
        Column(_("Next try")),
    ]
    return Table(columns, rows, title=title, empty=_("There are none."))


def _clock(moment: dt.datetime | None) -> Cell:
    """A time of day; with its date where that is another than today's."""
    if moment is None:
        return cells.text("–")
    local, today = moment.astimezone(SHANGHAI), timezone.now().astimezone(SHANGHAI).date()
    return Cell(local.strftime("%H:%M" if local.date() == today else "%m-%d %H:%M"), css="c-date")


def _outcome_cell(attempt: FetchAttempt) -> Cell:
    return cells.badge(
        attempt.outcome, attempt.get_outcome_display(), tone=OUTCOME_TONES[FetchOutcome(attempt.outcome)]
    )


def _proposal_table() -> Table:
    pending = ApprovalRequest.objects.filter(
        action__in=(approval.ACTION, empty.ACTION), status=RequestStatus.PENDING
    ).select_related("maker")
    return Table(
        [Column(_("Request")), Column(_("What")), Column(_("Maker")), Column(_("Made"))],
        [
            [
                cells.text(f"#{row.pk}", link("approval", row.pk)),
                cells.text(retold(row.title)),
                cells.text(row.maker.username),
                cells.moment(row.made_at),
            ]
            for row in pending.order_by("pk")
        ],
        title=_("Proposals that wait for approval"),
        empty=_("No change is proposed."),
    )


def _attempt_table(attempts: Any, *, title: str) -> Table:
    columns = [
        Column(_("When")),
        Column(_("Channel")),
        Column(_("Source")),
        Column(_("Channel date")),
        Column(_("Outcome")),
        Column(_("Message")),
        Column(_("Bill file")),
        Column(_("By")),
    ]
    return Table(
        columns, [_attempt_row(attempt) for attempt in attempts], title=title, empty=_("Nothing has been tried yet.")
    )


def _attempt_row(attempt: FetchAttempt) -> list[Cell]:
    file = attempt.bill_file
    return [
        cells.moment(attempt.finished_at),
        cells.text(attempt.contract.code),
        cells.text(attempt.source.name, link("file_source", attempt.source_id), note=f"v{attempt.source.version}"),
        cells.date(attempt.channel_date),
        _outcome_cell(attempt),
        Cell(retold(attempt.message) or attempt.file_name or "–", css="c-wrap"),
        cells.text(f"v{file.version}", link("bill_file", file.pk)) if file else cells.text("–"),
        cells.text(_person(attempt.made_by)),
    ]


def _person(name: str) -> str:
    return pgettext("fetch", "timetable") if name == "timetable" else name


def _ended_table() -> Table:
    ended = FileSource.objects.filter(is_current=True, active=False).select_related("contract")
    rows = [
        [
            cells.text(source.contract.code),
            cells.text(source.name, link("file_source", source.pk), note=source.get_kind_display()),
            cells.text(source.address),
            cells.moment(source.made_at),
        ]
        for source in ended.order_by("contract__code", "name")
    ]
    columns = [Column(_("Channel")), Column(_("Source")), Column(_("Address")), Column(_("Ended"))]
    return Table(columns, rows, title=_("Ended sources"))


# --- one source -----------------------------------------------------------------------------------------------------


def _source_or_404(source_id: int) -> FileSource:
    found = FileSource.objects.select_related("contract__channel", "approval").filter(pk=source_id).first()
    if found is None:
        raise Http404
    return found


@view("files.view")
def file_source(request: HttpRequest, source_id: int) -> HttpResponseBase:
    """A version of a source: its settings, its days, every try, and the other versions."""
    source = _source_or_404(source_id)
    attempts = FetchAttempt.objects.filter(source__contract=source.contract_id, source__name=source.name)
    pages = keyset(request, attempts.select_related("source", "contract", "bill_file"))
    days = source_days([source]) if source.is_current else []
    tables = [_attempt_table(pages.rows, title=_("Tries")), _version_table(source)]
    if days:
        tables.insert(0, _day_table(days, title=_("Days")))
    state = "active" if source.active else "retired"
    label = pgettext("file source", "In force") if source.active else pgettext("file source", "Ended")
    if not source.is_current:
        state, label = "superseded", pgettext("file source", "Former version")
    context = {
        "parent_title": _("File sources"),
        "parent_url": link("file_source_list"),
        "badges": [cells.badge(state, label)],
        "buttons": _source_buttons(request, source, days),
        "facts": _facts(source),
        "tables": tables,
        "pages": pages,
        "reload_seconds": RELOAD_SECONDS if _at_work(source) else None,
    }
    return page(request, "console/detail.html", context, title=f"{source.contract.code} {source.name}")


def _at_work(source: FileSource) -> bool:
    since = timezone.now() - dt.timedelta(minutes=10)
    jobs = JobRun.objects.filter(kind=FETCH_JOB, created_at__gte=since, params__source_id=source.pk)
    return jobs.filter(state__in=(JobState.QUEUED, JobState.RUNNING)).exists()


def _source_buttons(request: HttpRequest, source: FileSource, days: list[SourceDay]) -> list[Button]:
    buttons = []
    if source.is_current and request.user.may("adjustments.propose"):
        buttons.append(Button(_("Change or end"), link("file_source_change", source.pk)))
    if source.is_current and source.active and request.user.may("files.upload"):
        due = [each.day for each in days if each.is_due] or [each.day for each in days[:1]]
        buttons += [
            Button(
                _("Try %(day)s now") % {"day": day.isoformat()},
                link("file_source_try", source.pk),
                post=True,
                primary=True,
                fields={"day": day.isoformat()},
            )
            for day in sorted(due)
        ]
    return buttons


def _facts(source: FileSource) -> list[tuple[Any, Cell]]:
    secret = _("in the file %(name)s") % {"name": source.secret_file} if source.secret_file else _("set, encrypted")
    return [
        (_("Channel"), cells.text(source.contract.code)),
        (_("Kind"), cells.text(source.get_kind_display())),
        (_("Type"), cells.text(source.get_bill_type_display())),
        (_("Address"), cells.text(source.address)),
        *((OPTION_LABELS.get(name, name), cells.text(_short(value))) for name, value in source.options.items()),
        *([] if source.kind == SourceKind.FOLDER else [(_("Secret"), cells.text(secret))]),
        (_("First channel day"), cells.date(source.first_day)),
        (_("First try"), cells.text(source.first_try.strftime("%H:%M"))),
        (_("Every (minutes)"), cells.text(source.every_minutes)),
        (_("Deadline"), cells.text(source.deadline.strftime("%H:%M"))),
        (_("Empty day from"), cells.text(source.empty_after.strftime("%H:%M") if source.empty_after else "–")),
        (_("Version"), cells.number(source.version)),
        (_("Request"), cells.number(f"#{source.approval_id}", link("approval", source.approval_id))),
    ]


def _short(value: Any) -> str:
    """A setting on one line; of a key, its end tells it from another."""
    text = " ".join(line for line in str(value).split() if not line.startswith("-----"))
    return text if len(text) <= 60 else f"{text[:20]} … {text[-24:]}"


def _version_table(source: FileSource) -> Table:
    versions = FileSource.objects.filter(contract=source.contract_id, name=source.name).order_by("-version")
    rows = [
        [
            cells.text(f"v{version.version}", link("file_source", version.pk)),
            cells.text(version.address),
            cells.text(version.made_by),
            cells.moment(version.made_at),
            cells.number(f"#{version.approval_id}", link("approval", version.approval_id)),
        ]
        for version in versions
    ]
    columns = [
        Column(_("Version")),
        Column(_("Address")),
        Column(_("Maker")),
        Column(_("In force since")),
        Column(_("Request")),
    ]
    return Table(columns, rows, title=_("Versions"))


# --- trying ---------------------------------------------------------------------------------------------------------


class DayField(forms.Form):
    """Which channel day."""

    day = forms.DateField()


@action("files.upload")
def file_source_try(request: HttpRequest, source_id: int) -> HttpResponse:
    """Have a worker try a source for a day now."""
    source, form = _source_or_404(source_id), DayField(request.POST)
    if not form.is_valid():
        raise PayopsError("fetch.bad_day", _("Say which channel day, like 2026-11-18."))
    day = form.cleaned_data["day"]
    state = next((each for each in source_days([source]) if each.day == day), None)
    if state is None or not (source.is_current and source.active):
        raise PayopsError("fetch.bad_day", _("This source is not tried for that day. Upload the file instead."))
    try_enqueue(state, username=request.user.get_username())
    messages.success(request, _("Being tried. The result is below in a moment."))
    return redirect(link("file_source", source.pk))


@action("files.upload")
def file_source_try_due(request: HttpRequest) -> HttpResponse:
    """Have workers try everything that is due now."""
    due = [each for each in source_days(current_sources()) if each.is_due]
    for each in due:
        try_enqueue(each, username=request.user.get_username())
    if due:
        messages.success(request, _("%(count)d tries are queued. Reload in a moment.") % {"count": len(due)})
    else:
        messages.info(request, _("Nothing is due."))
    return redirect(came_from(request, link("file_source_list")))


# --- proposing ------------------------------------------------------------------------------------------------------


@action("adjustments.propose", methods=("GET", "POST"))
def file_source_new(request: HttpRequest, source_kind: str) -> HttpResponse:
    """Propose a source that is not there yet."""
    if source_kind not in SourceKind.values:
        raise Http404
    kind = SourceKind(source_kind)
    form = FORMS[kind](request.POST or None, initial=initial_of(kind))
    return _proposal(request, form, _("New source: %(kind)s") % {"kind": kind.label})


@action("adjustments.propose", methods=("GET", "POST"))
def file_source_change(request: HttpRequest, source_id: int) -> HttpResponse:
    """Propose another version of a source, or its end."""
    source = _source_or_404(source_id)
    if not source.is_current:
        raise PermissionDenied
    kind = SourceKind(source.kind)
    form = FORMS[kind](request.POST or None, initial=initial_of(kind, source), present=source)
    return _proposal(request, form, f"{source.contract.code} {source.name}")


def _proposal(request: HttpRequest, form: SourceForm, title: str) -> HttpResponse:
    return proposal_page(
        request,
        form,
        lambda data: approval.source_propose(source=form.source(), reason=data["reason"], maker=request.user),
        title=title,
        parent=(_("File sources"), link("file_source_list")),
        lead=_("Times are Shanghai time of the day after the channel day. In force once a second person agrees."),
    )


class EmptyDayForm(forms.Form):
    """Which channel had no bill on which day, and how one knows."""

    contract = forms.ModelChoiceField(
        label=gettext_lazy("Channel"),
        queryset=ChannelContract.objects.none(),
        to_field_name="code",
        empty_label=None,
    )
    day = forms.DateField(
        label=gettext_lazy("Channel date"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["contract"].queryset = ChannelContract.objects.filter(active=True).order_by("code")


@action("adjustments.propose", methods=("GET", "POST"))
def empty_day_new(request: HttpRequest) -> HttpResponse:
    """Propose that a channel day has no bill."""
    initial = {"contract": request.GET.get("contract"), "day": request.GET.get("date")}
    return proposal_page(
        request,
        EmptyDayForm(request.POST or None, initial=initial),
        lambda data: empty.empty_day_propose(maker=request.user, **data),
        title=_("Propose an empty day"),
        parent=(_("File sources"), link("file_source_list")),
        lead=_("The day gets a bill of zero lines, so that it can be run. A bill that comes later takes its place."),
    )


urlpatterns = [
    path("file-sources/", file_source_list, name="file_source_list"),
    path("file-sources/try/", file_source_try_due, name="file_source_try_due"),
    path("file-sources/new/<slug:source_kind>/", file_source_new, name="file_source_new"),
    path("file-sources/<int:source_id>/", file_source, name="file_source"),
    path("file-sources/<int:source_id>/change/", file_source_change, name="file_source_change"),
    path("file-sources/<int:source_id>/try/", file_source_try, name="file_source_try"),
    path("empty-days/new/", empty_day_new, name="empty_day_new"),
]
