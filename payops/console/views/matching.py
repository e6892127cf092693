"""Matching beyond one key: suggestions, matches by hand, and the rules of each channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.models import ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import SuggestionFilter
from payops.console.lists import Button
from payops.console.match_rows import match_row_table, rows_of_items
from payops.console.shell import action, page, view
from payops.console.views.proposals import proposal_page
from payops.core.errors import PayopsError
from payops.core.money import exponent, format_amount, parse_amount
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.choices import GroupBy, ItemSide
from payops.reconciliation.matching.claims import LIVE
from payops.reconciliation.matching.hand import MATCHABLE, hand_match_propose, proposed_items
from payops.reconciliation.matching.rules import ACTION as RULE_ACTION
from payops.reconciliation.matching.rules import match_rule_propose
from payops.reconciliation.matching.suggest import Suggestion, suggest, suggestions_of
from payops.reconciliation.models import MatchRule, OpenItem

LOOKED_AT: Final = 500
OFFERED: Final = 100

# --- suggestions ------------------------------------------------------------------------------------------------------


@view("runs.view")
def suggestion_list(request: HttpRequest) -> HttpResponseBase:
    """Our newest open items with what may be the other half of each, the likeliest first."""
    open_own = OpenItem.objects.filter(side=ItemSide.OWN, state__in=LIVE, result__in=MATCHABLE).exclude(d=0)
    filters = SuggestionFilter(request.GET, queryset=open_own.select_related("contract", "case"), request=request)
    items = list(filters.qs.order_by("-first_date", "-pk")[:LOOKED_AT])
    best = {pk: found[0] for pk, found in suggest(items).items()}
    pairs = sorted(
        ((item, best[item.pk]) for item in items if item.pk in best), key=lambda pair: (-pair[1].score, pair[0].pk)
    )
    waiting = proposed_items()
    table = Table(
        [
            Column(_("Score"), "c-amount"),
            Column(_("Ours")),
            Column(_("The channel's")),
            Column(_("Amount"), "c-amount"),
            Column(_("First seen")),
            Column(_("What speaks for it")),
            Column(_("Match"), "c-act"),
        ],
        [_pair_row(request, item, found, waiting) for item, found in pairs],
        empty=_("Nothing open resembles anything else."),
        note=_("Of the newest %(count)d open items of ours. Nothing here is booked until two people say so.")
        % {"count": len(items)},
    )
    context = {"filters": filters.form, "tables": [table]}
    return page(request, "console/detail.html", context, title=_("Suggested matches"))


def _pair_row(request: HttpRequest, item: OpenItem, found: Suggestion, waiting: dict[int, int]) -> list[Cell]:
    other = found.item
    return [
        cells.count(found.score),
        cells.number(item.match_key, _row_url(item), note=item.contract.code),
        cells.number(other.match_key, _row_url(other), note=other.get_result_display()),
        cells.money(item.own_amount, item.currency),
        cells.date(item.first_date),
        Cell(_reasons(found), css="c-wrap"),
        _match_cell(request, item, other, waiting),
    ]


def _match_cell(request: HttpRequest, item: OpenItem, other: OpenItem, waiting: dict[int, int]) -> Cell:
    proposed = waiting.get(item.pk) or waiting.get(other.pk)
    if proposed:
        return Cell(_("Proposed"), link("approval", proposed), "c-act")
    if request.user.may("cases.propose"):
        return Cell(_("Match"), link("open_item_match", item.pk, other=other.pk), "c-act")
    return Cell("–", css="c-act")


def _reasons(found: Suggestion) -> str:
    return " · ".join(str(reason.label) for reason in found.reasons)


def _row_url(item: OpenItem) -> str:
    if item.side == ItemSide.OWN:
        return link("transaction", item.transaction_id)
    return link("bill_line", item.bill_line_id)


def suggestion_table(request: HttpRequest, case: Discrepancy) -> Table | None:
    """What may be the other half of a case's open item; None where nothing is looked for."""
    item = case.items.filter(state__in=LIVE, result__in=MATCHABLE).exclude(d=0).select_related("contract").first()
    if item is None:
        return None
    waiting = proposed_items()
    rows = [
        [
            cells.count(found.score),
            cells.number(found.item.match_key, _row_url(found.item), note=found.item.get_result_display()),
            cells.money(_amount(found.item), found.item.currency),
            cells.date(found.item.first_date),
            Cell(_reasons(found), css="c-wrap"),
            cells.number(found.item.case.case_no, link("case_detail", found.item.case_id))
            if found.item.case
            else cells.text("–"),
            _match_cell(request, item, found.item, waiting),
        ]
        for found in suggestions_of(item)
    ]
    columns = [
        Column(_("Score"), "c-amount"),
        Column(_("Matching key")),
        Column(_("Amount"), "c-amount"),
        Column(_("First seen")),
        Column(_("What speaks for it")),
        Column(_("Case")),
        Column(_("Match"), "c-act"),
    ]
    return Table(columns, rows, title=_("May belong together"), empty=_("Nothing open on the other side resembles it."))


def suggestion_cells(request: HttpRequest, items: Iterable[OpenItem]) -> dict[int, Cell]:
    """Item id → the score of its likeliest other half, leading to the form that is filled in with it."""
    waiting = proposed_items()
    found = {}
    for item_id, best in suggest(items).items():
        other = best[0].item
        proposed = waiting.get(item_id) or waiting.get(other.pk)
        if proposed:
            found[item_id] = cells.text(_("Proposed"), link("approval", proposed))
        elif request.user.may("cases.propose"):
            url = link("open_item_match", item_id, other=other.pk)
            found[item_id] = cells.text(best[0].score, url, note=other.match_key)
        else:
            found[item_id] = cells.text(best[0].score, note=other.match_key)
    for item in items:
        if item.pk in waiting:
            found[item.pk] = cells.text(_("Proposed"), link("approval", waiting[item.pk]))
    return found


def _amount(item: OpenItem) -> int:
    return item.own_amount if item.side == ItemSide.OWN else item.channel_amount


# --- a match by hand --------------------------------------------------------------------------------------------------


class _Offers(forms.CheckboxSelectMultiple):
    """Items to tick, each with its amount in minor units for the sums below the form."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["attrs"]["data-amount"] = str(self.attrs["amounts"][value])
        return option

    def build_attrs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in super().build_attrs(*args, **kwargs).items() if name != "amounts"}


class MatchForm(forms.Form):
    """Which items belong together with the one the page is about.

    Offered are what is suggested, what was chosen elsewhere, and the newest of both sides or, already ticked, those of
    the numbers asked for.
    """

    others = forms.TypedMultipleChoiceField(label=gettext_lazy("The other side"), coerce=int, widget=_Offers)
    beside = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Also on this side"), coerce=int, widget=_Offers, required=False
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, item: OpenItem, chosen: set[int], numbers: list[str], *args: Any, **kwargs: Any) -> None:
        rows = OpenItem.objects.filter(contract=item.contract, currency=item.currency, state__in=LIVE)
        rows = rows.filter(result__in=MATCHABLE).exclude(d=0).exclude(pk=item.pk).select_related("contract")
        if numbers:
            chosen = chosen | set(rows.filter(match_key__in=numbers).values_list("pk", flat=True)[:OFFERED])
        super().__init__(*args, initial={"others": [*chosen], "beside": [*chosen]}, **kwargs)
        suggested = suggestions_of(item)
        reasons = {found.item.pk: f"{found.score}: {_reasons(found)}" for found in suggested}
        self.compared = [found.item for found in suggested if not chosen or found.item.pk in chosen]
        first = [] if numbers else [found.item for found in suggested]
        self._offer("others", rows.exclude(side=item.side), first, chosen, newest=not numbers, reasons=reasons)
        self._offer("beside", rows.filter(side=item.side), [], chosen, newest=not numbers, reasons={})
        if not self.fields["beside"].choices:
            del self.fields["beside"]

    def _offer(
        self,
        name: str,
        rows: QuerySet[OpenItem],
        first: list[OpenItem],
        chosen: set[int],
        *,
        newest: bool,
        reasons: dict[int, str],
    ) -> None:
        offered = [*rows.filter(pk__in=chosen).order_by("pk"), *first]
        if newest:
            offered += rows.order_by("-first_date", "-pk")[:OFFERED]
        items = {item.pk: item for item in offered}
        self.fields[name].widget.attrs["amounts"] = {pk: _amount(item) for pk, item in items.items()}
        self.fields[name].choices = [(pk, _offered(item, reasons.get(pk, ""))) for pk, item in items.items()]


def _offered(item: OpenItem, reasons: str) -> SafeString:
    """An item as the columns of a row, below it what speaks for it."""
    return format_html(
        '<span class="c-offer"><span class="c-num">{}</span><span class="c-amount">{}</span><span>{}</span>'
        '<span class="c-date">{}</span>{}</span>',
        item.match_key,
        format_amount(_amount(item), item.currency),
        item.get_result_display(),
        item.first_date.isoformat(),
        format_html('<small class="c-note">{}</small>', reasons) if reasons else "",
    )


def _chosen(request: HttpRequest) -> set[int]:
    """Items ticked on this form, or named by the page that led here."""
    sent = request.POST if request.method == "POST" else request.GET
    named = [*sent.getlist("other"), *sent.getlist("others"), *sent.getlist("beside")]
    return {int(number) for number in named if number.isascii() and number.isdigit() and len(number) < 19}


class NumberForm(forms.Form):
    """Which other items are looked for: one key, or several with blanks between them."""

    number = forms.CharField(label=gettext_lazy("Find by matching key"), max_length=2000, required=False)


@action("cases.propose", methods=("GET", "POST"))
def open_item_match(request: HttpRequest, open_item_id: int) -> HttpResponse:
    """Propose that an open item and others belong together."""
    item = OpenItem.objects.select_related("contract", "case").filter(pk=open_item_id).first()
    if item is None or item.side == ItemSide.PAIR:
        raise Http404
    if item.state not in LIVE:
        raise PayopsError("matching.not_open", _("%(key)s is not open any more. Look again.") % {"key": item.match_key})
    number = request.GET.get("number", "").strip()
    parent = (item.case.case_no, link("case_detail", item.case_id)) if item.case else (_("Open items"), _open_items())
    form = MatchForm(item, _chosen(request), number.split()[:OFFERED], request.POST or None)
    compared = match_row_table(rows_of_items([item, *form.compared]), item.currency, title=_("To compare"))
    return proposal_page(
        request,
        form,
        lambda data: hand_match_propose(
            item_ids=[item.pk, *data["others"], *data.get("beside", [])], reason=data["reason"], maker=request.user
        ),
        title=_("Match %(key)s by hand") % {"key": item.match_key},
        parent=parent,
        lead=_("%(side)s, %(amount)s, first seen %(day)s. Both sides must add up. Booked when a second person agrees.")
        % {
            "side": item.get_side_display(),
            "amount": format_amount(_amount(item), item.currency),
            "day": item.first_date,
        },
        filters=NumberForm({"number": number}),
        extra={
            "sums": {"side": item.side, "amount": str(_amount(item)), "exponent": exponent(item.currency)},
            "compared": compared,
        },
        template="console/match_form.html",
    )


def match_button(request: HttpRequest, case: Discrepancy) -> list[Button]:
    """The way from a case to the form of a match by hand, where its item can be matched at all."""
    item = case.items.filter(state__in=LIVE, result__in=MATCHABLE).exclude(d=0).first()
    if item is None or not request.user.may("cases.propose") or item.pk in proposed_items():
        return []
    return [Button(_("Match by hand"), link("open_item_match", item.pk))]


def _open_items() -> str:
    return link("open_item_list")


# --- rules ------------------------------------------------------------------------------------------------------------


@view("files.view")
def match_rule_list(request: HttpRequest) -> HttpResponseBase:
    """How each channel's rows are matched beyond their key, what is proposed, and former versions."""
    may_propose = request.user.may("adjustments.propose")
    rules = list(MatchRule.objects.select_related("contract").order_by("contract__code", "-version"))
    latest = {rule.contract_id: rule for rule in reversed(rules)}
    rows = []
    for contract in ChannelContract.objects.filter(active=True).order_by("code"):
        rule = latest.get(contract.pk) or MatchRule(contract=contract, version=0, fee_tolerance=contract.fee_tolerance)
        rows.append(_rule_row(rule, link("match_rule_change", contract.code) if may_propose else ""))
    former = [_rule_row(rule, "") for rule in rules if rule is not latest[rule.contract_id]]
    columns = [
        Column(_("Channel")),
        Column(_("Grouped by")),
        Column(_("Fee tolerance"), "c-amount"),
        Column(_("Amount tolerance by hand"), "c-amount"),
        Column(_("In force from")),
        Column(_("Version")),
        Column(_("Request")),
    ]
    tables = [
        Table(columns, rows, title=_("Latest rules"), note=_("Without a rule the contract's fee tolerance counts.")),
        _proposal_table(),
        Table(columns, former, title=_("Former versions"), empty=_("There are none.")),
    ]
    return page(request, "console/detail.html", {"tables": tables}, title=_("Matching rules"))


def _request_cell(approval_id: int | None) -> Cell:
    return cells.number(f"#{approval_id}", link("approval", approval_id)) if approval_id else cells.text("–")


def _rule_row(rule: MatchRule, url: str) -> list[Cell]:
    currency = rule.contract.currency
    return [
        cells.text(rule.contract.code, url),
        cells.text(rule.get_group_by_display()),
        cells.money(rule.fee_tolerance, currency),
        cells.money(rule.amount_tolerance, currency),
        cells.date(rule.effective_from) if rule.effective_from else cells.text("–"),
        cells.number(rule.version) if rule.version else cells.text("–"),
        _request_cell(rule.approval_id),
    ]


def _proposal_table() -> Table:
    pending = ApprovalRequest.objects.filter(action=RULE_ACTION, status=RequestStatus.PENDING).select_related("maker")
    return Table(
        [Column(_("Request")), Column(_("Channel")), Column(_("Maker")), Column(_("Proposed"))],
        [
            [
                cells.text(f"#{row.pk}", link("approval", row.pk)),
                cells.text(row.target_id),
                cells.text(row.maker.username),
                cells.moment(row.made_at),
            ]
            for row in pending.order_by("pk")
        ],
        title=_("Proposals that wait for approval"),
        empty=_("No change is proposed."),
    )


class MatchRuleForm(forms.Form):
    """One version of a channel's rule."""

    group_by = forms.ChoiceField(label=gettext_lazy("Grouped by"), choices=GroupBy.choices)
    fee_tolerance = forms.CharField(
        label=gettext_lazy("Fee tolerance"),
        max_length=12,
        help_text=gettext_lazy("By how much a line's fee may differ."),
    )
    amount_tolerance = forms.CharField(
        label=gettext_lazy("Amount tolerance by hand"),
        max_length=12,
        help_text=gettext_lazy("By how much a pair matched by hand may differ. The difference stays in suspense."),
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, contract: ChannelContract, *args: Any, **kwargs: Any) -> None:
        self.contract = contract
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Tolerances become minor units."""
        cleaned = super().clean() or self.cleaned_data
        for name in ("fee_tolerance", "amount_tolerance"):
            if cleaned.get(name):
                try:
                    cleaned[name] = parse_amount(cleaned[name], self.contract.currency)
                except PayopsError as error:
                    self.add_error(name, str(error))
        return cleaned


@action("adjustments.propose", methods=("GET", "POST"))
def match_rule_change(request: HttpRequest, channel_code: str) -> HttpResponse:
    """Propose another version of a channel's matching rule."""
    contract = ChannelContract.objects.filter(code=channel_code, active=True).first()
    if contract is None:
        raise Http404
    latest = MatchRule.objects.filter(contract=contract).order_by("-version").first()
    currency = contract.currency
    initial = {
        "group_by": latest.group_by if latest else GroupBy.NONE,
        "fee_tolerance": format_amount(latest.fee_tolerance if latest else contract.fee_tolerance, currency),
        "amount_tolerance": format_amount(latest.amount_tolerance if latest else 0, currency),
    }
    return proposal_page(
        request,
        MatchRuleForm(contract, request.POST or None, initial=initial),
        lambda data: match_rule_propose(contract=contract, maker=request.user, **data),
        title=_("Matching rule of %(channel)s") % {"channel": contract.code},
        parent=(_("Matching rules"), link("match_rule_list")),
        lead=_("From the day after the one that is open when this is approved. Days before are run by their own rule."),
    )


urlpatterns = [
    path("match-suggestions/", suggestion_list, name="suggestion_list"),
    path("open-items/<int:open_item_id>/match/", open_item_match, name="open_item_match"),
    path("match-rules/", match_rule_list, name="match_rule_list"),
    path("match-rules/<slug:channel_code>/", match_rule_change, name="match_rule_change"),
]
