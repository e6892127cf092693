"""The guards of views: login page, 404 for the wrong side of the house, 403 for lacking rights."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.test import RequestFactory

from payops.identity.choices import MerchantRole, Role
from payops.identity.decorators import merchant_required, permission_required, staff_required
from payops.identity.models import User

ALICE = User(username="alice", role=Role.OPERATIONS)
CAROL = User(username="carol", role=Role.AUDITOR)
MEI = User(username="mei", role=Role.MERCHANT, merchant_no="M-A", merchant_role=MerchantRole.VIEWER)


@permission_required("runs.start")
def start_a_run(request):
    return HttpResponse("started")


@permission_required("portal.users.manage")
def manage_users(request):
    return HttpResponse("managed")


def call(view, user):
    request = RequestFactory().get("/somewhere/?page=2")
    request.user = user
    return view(request)


def test_the_holder_of_the_permission_comes_in():
    assert call(start_a_run, ALICE).content == b"started"


def test_nobody_is_sent_to_the_login_page_and_back():
    response = call(start_a_run, AnonymousUser())
    assert response.status_code == 302
    assert response.url == "/accounts/login/?next=/somewhere/%3Fpage%3D2"


def test_staff_without_the_permission_are_told_so():
    with pytest.raises(PermissionDenied):
        call(start_a_run, CAROL)


def test_a_merchant_does_not_learn_that_a_console_page_exists():
    with pytest.raises(Http404):
        call(start_a_run, MEI)


def test_staff_find_nothing_in_the_portal():
    with pytest.raises(Http404):
        call(manage_users, ALICE)


def test_a_merchants_viewer_may_not_manage_its_users():
    with pytest.raises(PermissionDenied):
        call(manage_users, MEI)


def test_an_unknown_code_fails_when_the_module_is_read():
    with pytest.raises(KeyError):
        permission_required("runs.strat")


@pytest.mark.parametrize(
    ("guard", "inside", "outside"), [(staff_required, ALICE, MEI), (merchant_required, MEI, CAROL)]
)
def test_each_side_admits_its_own_people_only(guard, inside, outside):
    view = guard(lambda request: HttpResponse("in"))
    assert call(view, inside).content == b"in"
    assert call(view, AnonymousUser()).status_code == 302
    with pytest.raises(Http404):
        call(view, outside)
