"""Forms that propose something a second person decides: one way to show, check, refuse and thank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.approvals.models import ApprovalRequest
from payops.console.cells import Table, link
from payops.console.shell import page
from payops.core.errors import PayopsError


class ReasonForm(forms.Form):
    """Why something is proposed."""

    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)


def refusal_page(request: HttpRequest, error: PayopsError, *, title: Any, parent: tuple[Any, str]) -> HttpResponse:
    """What stands in the way of a proposal, said before anything is filled in."""
    context = {"trouble": str(error), "parent_title": parent[0], "parent_url": parent[1]}
    return page(request, "console/detail.html", context, title=title, status=200 if request.method == "GET" else 400)


def proposal_page(
    request: HttpRequest,
    form: forms.Form,
    propose: Callable[[dict[str, Any]], ApprovalRequest],
    *,
    title: Any,
    parent: tuple[Any, str],
    lead: Any = "",
    tables: Sequence[Table] = (),
    filters: forms.Form | None = None,
    extra: dict[str, Any] | None = None,
    template: str = "console/form.html",
) -> HttpResponse:
    """The form, and on POST the proposal; a refusal of the service stays on the form with what was filled in.

    `filters` narrows what the form offers, above it.
    """
    if request.method == "POST" and form.is_valid():
        try:
            proposed = propose(form.cleaned_data)
        except PayopsError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.pk)
            return redirect(link("approval", proposed.pk))
    context = {
        "form": form,
        "form_button": _("Propose"),
        "lead": lead,
        "parent_title": parent[0],
        "parent_url": parent[1],
        "tables": list(tables),
        "filters": filters,
        **(extra or {}),
    }
    return page(request, template, context, title=title, status=400 if form.errors else 200)
