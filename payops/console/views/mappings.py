"""Mapped formats: the list, and trying and proposing a version on a sample of the channel's file."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.formats import BadLine, Expectation, Source
from payops.channels.formats.base import KIND_CODES
from payops.channels.formats.generic_spec import DEFAULTS
from payops.channels.mapping import notation
from payops.channels.mapping.approval import ACTION, mapping_propose
from payops.channels.mapping.models import FormatMapping
from payops.channels.mapping.preview import Preview, outcome_of, preview
from payops.channels.mapping.selectors import mappings_in_force
from payops.channels.models import ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button
from payops.console.shell import action, page, view
from payops.console.tables import kind_label
from payops.console.views.mapping_form import SAMPLE_LIMIT, MappingForm, initial_of
from payops.core.errors import PayopsError
from payops.core.retelling import retold
from payops.core.storage import full_path, keep

_SALT: Final = "console.mapping_sample"


@view("files.view")
def mapping_list(request: HttpRequest) -> HttpResponseBase:
    """Mapped formats in force, what waits for approval, and former versions."""
    now = list(mappings_in_force())
    may_propose = request.user.may("adjustments.propose")
    buttons = [Button(_("New mapped format"), link("mapping_new"), primary=True)] if may_propose else []
    former = FormatMapping.objects.exclude(pk__in=[mapping.pk for mapping in now])
    tables = [
        _mapping_table(now, _("In force")),
        _proposal_table(),
        _mapping_table(list(former[:200]), _("Former versions")),
    ]
    tables[0].note = _("A contract that names one is read with its latest version.")
    return page(request, "console/detail.html", {"buttons": buttons, "tables": tables}, title=_("Mapped formats"))


def _mapping_table(mappings: list[FormatMapping], title: str) -> Table:
    contracts: dict[str, list[str]] = {}
    named = ChannelContract.objects.filter(bill_format__startswith="generic:")
    for code, bill_format in named.values_list("code", "bill_format"):
        contracts.setdefault(bill_format.removeprefix("generic:"), []).append(code)
    rows = [
        [
            cells.number(f"generic:{mapping.code}", link("mapping", mapping.pk)),
            cells.text(mapping.name),
            cells.number(mapping.version),
            cells.text(notation.CHOICES["layout"][mapping.spec["layout"]]),
            cells.text(", ".join(contracts.get(mapping.code, [])) or "–"),
            cells.text(mapping.made_by),
            cells.moment(mapping.made_at),
            cells.number(f"#{mapping.approval_id}", link("approval", mapping.approval_id)),
        ]
        for mapping in mappings
    ]
    columns = [
        Column(_("Code")),
        Column(_("Name")),
        Column(_("Version")),
        Column(_("Layout")),
        Column(_("Contracts")),
        Column(_("Maker")),
        Column(_("Made")),
        Column(_("Request")),
    ]
    return Table(columns, rows, title=title, empty=_("There are none."))


def _proposal_table() -> Table:
    pending = ApprovalRequest.objects.filter(action=ACTION, status=RequestStatus.PENDING).select_related("maker")
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


def _mapping_or_404(mapping_id: int) -> FormatMapping:
    found = FormatMapping.objects.filter(pk=mapping_id).first()
    if found is None:
        raise Http404
    return found


@view("files.view")
def mapping(request: HttpRequest, mapping_id: int) -> HttpResponseBase:
    """One version, part by part."""
    found = _mapping_or_404(mapping_id)
    buttons = []
    if request.user.may("adjustments.propose"):
        buttons.append(Button(_("Propose the next version"), link("mapping_change", found.pk), primary=True))
    rows = [[cells.text(label), Cell(text, css="c-wrap c-lines-kept")] for label, text in notation.shown(found.spec)]
    context = {
        "parent_title": _("Mapped formats"),
        "parent_url": link("mapping_list"),
        "buttons": buttons,
        "facts": [
            (_("Code"), cells.number(f"generic:{found.code}")),
            (_("Version"), cells.number(found.version)),
            (_("Maker"), cells.text(found.made_by)),
            (_("Made"), cells.moment(found.made_at)),
            (_("Request"), cells.number(f"#{found.approval_id}", link("approval", found.approval_id))),
        ],
        "tables": [Table([Column(_("Part")), Column(_("What it says"))], rows, title=_("Mapping"))],
    }
    return page(request, "console/detail.html", context, title=found.name)


@action("adjustments.propose", methods=("GET", "POST"))
def mapping_new(request: HttpRequest) -> HttpResponse:
    """Try or propose a mapping that is not there yet."""
    return _form_page(request, dict(DEFAULTS), {}, _("New mapped format"))


@action("adjustments.propose", methods=("GET", "POST"))
def mapping_change(request: HttpRequest, mapping_id: int) -> HttpResponse:
    """Try or propose the next version of a mapping."""
    found = _mapping_or_404(mapping_id)
    return _form_page(request, {**DEFAULTS, **found.spec}, {"code": found.code, "name": found.name}, found.name)


def _form_page(request: HttpRequest, spec: dict[str, Any], named: dict[str, Any], title: str) -> HttpResponse:
    """The form; trying shows what the sample becomes, proposing needs a sample and a reason."""
    initial = {**initial_of(spec), **named, "sample_day": timezone.localdate() - dt.timedelta(days=1)}
    form = MappingForm(request.POST or None, request.FILES or None, initial=initial)
    tables: list[Table] = []
    trouble = ""
    if form.is_bound:
        sample = _sample(form)
        if form.is_valid() and sample is not None:
            found = _tried(form, sample)
            if "propose" in request.POST:
                proposed = _proposed(request, form, found, sample)
                if proposed is not None:
                    messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.pk)
                    return redirect(link("approval", proposed.pk))
            trouble = str(found.refused) if found.refused else ""
            tables = [_preview_table(found, form), *_control_tables(found)]
        elif form.is_valid():
            form.add_error("sample", _("Choose a sample of the channel's file: nothing is proposed untried."))
    context = {
        "parent_title": _("Mapped formats"),
        "parent_url": link("mapping_list"),
        "form": form,
        "tables": tables,
        "trouble": trouble,
        "sample_name": _sample_name(form),
        "kept": form.data.get("kept_sample", ""),
    }
    return page(request, "console/mapping_form.html", context, title=title, status=400 if form.errors else 200)


# --- the sample -------------------------------------------------------------------------------------------------------


def _sample(form: MappingForm) -> dict[str, Any] | None:
    """The sample that came now, else the one kept since an earlier try; it stays where received files are."""
    upload = form.files.get("sample")
    if upload is not None:
        try:
            stored = keep(upload, name=upload.name, limit=SAMPLE_LIMIT)
        except PayopsError as error:
            form.is_valid()
            form.add_error("sample", str(error))
            return None
        kept = {"name": upload.name[-200:], "path": stored.path, "sha256": stored.sha256}
        form.data = form.data.copy()
        form.data["kept_sample"] = signing.dumps(kept, salt=_SALT)
        return kept
    return _kept(form)


def _kept(form: MappingForm) -> dict[str, Any] | None:
    try:
        return signing.loads(form.data.get("kept_sample", ""), salt=_SALT, max_age=86400)
    except signing.BadSignature:
        return None


def _sample_name(form: MappingForm) -> str:
    kept = _kept(form) if form.is_bound else None
    return kept["name"] if kept else ""


def _tried(form: MappingForm, sample: dict[str, Any]) -> Preview:
    data = form.cleaned_data
    expect = Expectation(
        data["sample_account"] or "–", data["sample_day"] or timezone.localdate(), file_name=sample["name"]
    )
    return preview(form.spec, Source.of(full_path(sample["path"]), sample["name"]), expect)


def _proposed(
    request: HttpRequest, form: MappingForm, found: Preview, sample: dict[str, Any]
) -> ApprovalRequest | None:
    data = form.cleaned_data
    if not data["reason"].strip():
        form.add_error("reason", _("Write the reason, so that the checker can judge it."))
        return None
    try:
        return mapping_propose(
            code=data["code"],
            name=data["name"],
            spec=form.spec,
            sample=outcome_of(found, name=sample["name"], sha256=sample["sha256"]),
            reason=data["reason"],
            maker=request.user,
        )
    except PayopsError as error:
        form.add_error(None, str(error))
        return None


# --- what the sample became -------------------------------------------------------------------------------------------


def _preview_table(found: Preview, form: MappingForm) -> Table:
    rows = []
    for line in found.lines:
        if isinstance(line, BadLine):
            reason = Cell(line.message, css="c-wrap c-error")
            rows.append([cells.number(line.line_no), reason, Cell(line.raw[:200], css="c-num c-raw", span=8)])
            continue
        rows.append(
            [
                cells.number(line.line_no),
                cells.text(kind_label(KIND_CODES[line.kind])),
                cells.number(line.trade_no),
                cells.number(line.match_key),
                cells.text(line.status),
                cells.money(line.amount, line.currency),
                cells.money(line.settled_amount, line.currency),
                cells.money(line.fee, line.currency),
                cells.text(line.occurred_at[:19]),
                cells.text(line.payer_masked),
            ]
        )
    columns = [
        Column(_("Line")),
        Column(_("Kind")),
        Column(_("Channel trade number")),
        Column(_("Matching key")),
        Column(_("Status")),
        Column(_("Amount"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Time")),
        Column(_("Payer")),
    ]
    title = ngettext("The sample: %(read)d line read", "The sample: %(read)d lines read", found.read) % {
        "read": found.read
    }
    if found.bad:
        title += ", " + _("%(bad)d not readable") % {"bad": found.bad}
    table = Table(columns, rows, title=title, empty=_("No line could be read."))
    table.note = _("It would be accepted as it is.") if found.good else ""
    return table


def _control_tables(found: Preview) -> list[Table]:
    if found.reader is None or not len(found.reader.totals.items):
        return []
    rows = [
        [
            cells.number(total.name),
            _figure(total.stated, total.unit),
            _figure(total.computed, total.unit),
            cells.text("–")
            if total.stated is None
            else cells.badge("agreed" if total.agrees else "different", _("agrees") if total.agrees else _("differs")),
        ]
        for total in found.reader.totals
    ]
    columns = [
        Column(_("Control total")),
        Column(_("Stated by the file"), "c-amount"),
        Column(_("Counted"), "c-amount"),
        Column(""),
    ]
    return [Table(columns, rows, title=_("Control totals"))]


def _figure(value: int | None, unit: str) -> Cell:
    if value is None:
        return Cell("–", css="c-amount")
    return cells.count(value) if unit == "count" else cells.money(value)


urlpatterns = [
    path("mappings/", mapping_list, name="mapping_list"),
    path("mappings/new/", mapping_new, name="mapping_new"),
    path("mappings/<int:mapping_id>/", mapping, name="mapping"),
    path("mappings/<int:mapping_id>/change/", mapping_change, name="mapping_change"),
]
