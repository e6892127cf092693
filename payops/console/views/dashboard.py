"""The first page of the console: what needs doing today."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _

from payops.console import dashboard
from payops.console.cells import link
from payops.console.forms import DayForm
from payops.console.shell import action, page, view
from payops.console.views.cases import ageing_table
from payops.core.errors import PayopsError
from payops.dayend.services import day_run_enqueue
from payops.discrepancies.selectors import reference_day


@view("dashboard.view")
def home(request: HttpRequest) -> HttpResponseBase:
    """Everything that waits for somebody, and how far the days are."""
    today = reference_day()
    due, in_order = dashboard.todo_for(request.user, today)
    context = {
        "tiles": due,
        "in_order": in_order,
        "days": dashboard.day_rows(today),
        "may_run": request.user.may("days.run"),
        "channel_table": dashboard.channel_table(today),
        "ageing_table": ageing_table(),
        "payout_table": dashboard.payout_table(),
        "volume_table": dashboard.volume_table(today),
    }
    title = _("Open accounting day %s") % today.isoformat()
    return page(request, "console/dashboard.html", context, title=title)


@action("days.run")
def day_start(request: HttpRequest) -> HttpResponse:
    """Have a worker take a day as far as it goes."""
    form = DayForm(request.POST)
    if not form.is_valid():
        raise PayopsError("console.no_day", _("Give a day such as 2026-11-20."))
    job = day_run_enqueue(form.cleaned_data["day"], username=request.user.get_username())
    messages.success(request, _("The day is being walked as job %d.") % job.pk)
    return redirect(link("job", job.pk))


urlpatterns = [
    path("", home, name="dashboard"),
    path("day/start/", day_start, name="day_start"),
]
