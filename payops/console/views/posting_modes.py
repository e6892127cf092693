"""Posting modes: the rules, how far buffered balances are behind, which accounts are hot, and proposing a switch."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from payops.accounts import selectors as ledger
from payops.accounts.buffering import QueueState, queue_states
from payops.accounts.choices import LINE_EVENTS, Event, PostingMode
from payops.accounts.hot import hot_accounts
from payops.accounts.mode_approval import ACTION, mode_propose
from payops.accounts.models import Account, PostingModeRule
from payops.accounts.modes import earliest_day
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.forms import DATE, AccountInput
from payops.console.lists import Button
from payops.console.shell import action, page, view
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.retelling import retold

RULES_SHOWN = 500
LATE_INTERVALS = 3
"""A movement older than so many intervals of draining is told to whoever looks."""


class ModeForm(forms.Form):
    """A switch to propose."""

    account_no = forms.CharField(
        label=gettext_lazy("Account"),
        max_length=64,
        widget=AccountInput,
        help_text=gettext_lazy("Begin to write its number, or its subject and owner such as “3001.01 WECHAT”."),
    )
    event = forms.TypedChoiceField(
        label=gettext_lazy("Business code"),
        coerce=int,
        choices=[(event.value, event.label) for event in Event if event not in LINE_EVENTS],
    )
    mode = forms.ChoiceField(label=gettext_lazy("Posting mode"), choices=PostingMode.choices)
    effective_day = forms.DateField(label=gettext_lazy("Effective from"), widget=DATE)
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)


@view("ledger.view")
def posting_mode_list(request: HttpRequest) -> HttpResponseBase:
    """Rules, queue, proposals that wait, and hot accounts."""
    states = queue_states()
    may_propose = request.user.may("adjustments.propose")
    buttons = [Button(_("Propose a posting mode"), link("posting_mode_propose"), primary=True)] if may_propose else []
    context = {
        "buttons": buttons,
        "facts": [
            (_("Movements in the queue"), cells.count(sum(state.depth for state in states))),
            (_("Oldest movement waits"), cells.text(_lag(states[0].lag).text if states else "–")),
        ],
        "trouble": _late(states),
        "tables": [_queue_table(states), _rule_table(), _proposal_table(), _hot_table(may_propose=may_propose)],
    }
    return page(request, "console/detail.html", context, title=_("Posting modes"))


def _lag(lag: dt.timedelta) -> Cell:
    return cells.duration(lag // dt.timedelta(milliseconds=1))


def _late(states: list[QueueState]) -> str:
    """A sentence where the queue is not being drained; the oldest movement may wait through a few intervals."""
    lag = max((state.lag for state in states), default=dt.timedelta(0))
    if lag <= dt.timedelta(seconds=LATE_INTERVALS * settings.PAYOPS_DRAIN_SECONDS):
        return ""
    return _("The queue is not being drained: the timetable and a worker have to run. Entries are complete meanwhile.")


def _account(account: Account) -> Cell:
    return cells.number(account.account_no, link("account", account.pk), note=subject_name(account.subject))


def _event(event: int) -> Cell:
    return cells.text(Event(event).label, note=event)


def _queue_table(states: list[QueueState]) -> Table:
    accounts = Account.objects.select_related("subject").in_bulk([state.account_id for state in states])
    return Table(
        [
            Column(_("Account")),
            Column(_("Movements"), "c-amount"),
            Column(_("Their sum"), "c-amount"),
            Column(_("Currency")),
            Column(_("Oldest waits"), "c-amount"),
        ],
        [
            [
                _account(accounts[state.account_id]),
                cells.count(state.depth),
                cells.money(state.delta, state.currency),
                cells.text(state.currency),
                _lag(state.lag),
            ]
            for state in states
        ],
        title=_("Balances that are behind their entries"),
        empty=_("Every stored balance has followed its entries."),
    )


def _rule_table() -> Table:
    today = ledger.open_day()
    rules = PostingModeRule.objects.select_related("account__subject")
    rules = rules.order_by("-effective_day", "account__account_no", "event")
    return Table(
        [
            Column(_("Account")),
            Column(_("Business code")),
            Column(_("Posting mode")),
            Column(_("State")),
            Column(_("Effective from")),
            Column(_("Until (exclusive)")),
            Column(_("Proposed by")),
        ],
        [
            [
                _account(rule.account),
                _event(rule.event),
                cells.text(rule.get_mode_display()),
                _rule_state(rule, today),
                cells.date(rule.effective_day),
                cells.date(rule.end_day),
                cells.text(rule.created_by),
            ]
            for rule in rules[:RULES_SHOWN]
        ],
        title=_("Rules"),
        empty=_("All accounts are posted in real time."),
    )


def _rule_state(rule: PostingModeRule, today: dt.date) -> Cell:
    if rule.effective_day > today:
        return cells.badge("waiting", pgettext("posting mode", "To come"))
    if rule.end_day is not None and rule.end_day <= today:
        return cells.badge("closed", pgettext("posting mode", "Ended"))
    return cells.badge("active", pgettext("posting mode", "In force"))


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
        empty=_("No switch is proposed."),
    )


def _hot_table(*, may_propose: bool) -> Table:
    rows = []
    found = hot_accounts()
    accounts = Account.objects.select_related("subject").in_bulk([hot.account_id for hot in found])
    for hot in found:
        url = link("posting_mode_propose", account_no=hot.account_no, event=hot.event, mode=PostingMode.BUFFERED.value)
        rows.append(
            [
                _account(accounts[hot.account_id]),
                _event(hot.event),
                cells.count(hot.per_minute),
                Cell(_("Propose buffering") if may_propose else "", url if may_propose else "", "c-act"),
            ]
        )
    return Table(
        [
            Column(_("Account")),
            Column(_("Business code")),
            Column(_("Entries a minute"), "c-amount"),
            Column("", "c-act"),
        ],
        rows,
        title=_("Hot accounts"),
        empty=_("No real-time account has been busy in the last five minutes."),
    )


@action("adjustments.propose", methods=("GET", "POST"))
def posting_mode_propose(request: HttpRequest) -> HttpResponse:
    """The form of a switch; a refusal stays on it."""
    if request.method == "POST":
        form = ModeForm(request.POST)
        if form.is_valid():
            try:
                proposed = mode_propose(**form.cleaned_data, maker=request.user)
            except PayopsError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _("Proposed as request #%(id)s.") % {"id": proposed.pk})
                return redirect(link("posting_mode_list"))
    else:
        given: dict[str, Any] = {
            name: request.GET[name] for name in ("account_no", "event", "mode") if name in request.GET
        }
        form = ModeForm(initial={"effective_day": earliest_day(), "mode": PostingMode.BUFFERED, **given})
    lead = _(
        "Buffered: the balance follows within a minute, and postings no longer wait for each other on this account. "
        "Summary: it follows in one sum at the end of the day. Debits of merchants are always in real time."
    )
    context = {
        "form": form,
        "lead": lead,
        "form_button": _("Propose"),
        "parent_title": _("Posting modes"),
        "parent_url": link("posting_mode_list"),
    }
    return page(
        request, "console/form.html", context, title=_("Propose a posting mode"), status=400 if form.errors else 200
    )


urlpatterns = [
    path("posting-modes/", posting_mode_list, name="posting_mode_list"),
    path("posting-modes/propose/", posting_mode_propose, name="posting_mode_propose"),
]
