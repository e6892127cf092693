"""The API: bulk intake and one transaction, by role, by token or session."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from payops.accounts.selectors import balance_of
from payops.api.models import ApiToken
from payops.api.services import token_issue, token_revoke
from payops.orders.models import Intake
from tests.orders.conftest import ndjson, order

URL = "/api/v1/transactions"
NDJSON = "application/x-ndjson"


@pytest.fixture(autouse=True)
def _no_throttle_left():
    cache.clear()


def bearer(user) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token_issue(user=user, name='test')}"}


def post(rows, user=None, **extra):
    headers = bearer(user) if user else {}
    return Client().post(URL, ndjson(*rows).getvalue(), content_type=NDJSON, **headers, **extra)


# --- intake ---


def test_rows_are_taken_in_and_counted(world, alice):
    response = post([order("1"), order("2")], alice)
    assert response.status_code == 200
    body = response.json()
    assert (body["state"], body["created"], body["vouchers"]) == ("loaded", 2, 2)
    assert isinstance(body["id"], str)
    assert balance_of("2202.01", "merchant", "M-A") == 20_000
    assert Intake.objects.get().received_by == "alice"


def test_the_same_rows_again_change_nothing(world, alice):
    post([order("1")], alice)
    assert post([order("1")], alice).json()["unchanged"] == 1
    assert balance_of("2202.01", "merchant", "M-A") == 10_000


def test_an_invalid_row_refuses_the_body_and_names_it(world, alice):
    response = post([order("1"), order("2", amount="1.005")], alice)
    assert response.status_code == 422
    refused = response.json()["refused"]
    assert [(row["line"], row["field"], row["value"]) for row in refused] == [(2, "amount", "1.005")]


def test_a_packed_body_is_unpacked(world, alice):
    data = gzip.compress(ndjson(order("1")).getvalue())
    response = Client().post(URL, data, content_type="application/gzip", **bearer(alice))
    assert response.json()["created"] == 1


def test_an_empty_body_is_refused(world, alice):
    assert post([], alice).json()["refused"][0]["code"] == "intake.empty"


def test_another_content_type_is_refused(world, alice):
    response = Client().post(URL, "{}", content_type="application/json", **bearer(alice))
    assert (response.status_code, response.json()["error"]["code"]) == (415, "api.unsupported_media_type")


def test_before_the_books_are_open_the_error_says_what_to_do(db, alice):
    response = post([order("1")], alice)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "orders.no_open_day")


@pytest.mark.parametrize(
    ("name", "status"), [("alice", 200), ("bob", 403), ("carol", 403), ("dave", 403), ("mei", 403), (None, 401)]
)
def test_only_operations_may_post(world, name, status, request):
    user = request.getfixturevalue(name) if name else None
    assert post([order("1")], user).status_code == status


def test_other_methods_are_not_there(world, alice):
    assert Client().get(URL, **bearer(alice)).status_code == 405


def test_a_session_needs_the_csrf_token(world, alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(URL, ndjson(order("1")).getvalue(), content_type=NDJSON).status_code == 403
    assert not Intake.objects.exists()


# --- one transaction ---


@pytest.mark.parametrize(
    ("name", "status"),
    [("alice", 200), ("bob", 200), ("carol", 200), ("dave", 200), ("mei", 200), ("omar", 404), (None, 401)],
)
def test_staff_see_every_transaction_and_merchants_their_own(load, name, status, request, client_for):
    load(order("1"))
    user = request.getfixturevalue(name) if name else None
    assert client_for(user).get(f"{URL}/1").status_code == status


def test_amounts_are_minor_units_and_ids_are_strings(load, alice, client_for):
    load(order("1"))
    body = client_for(alice).get(f"{URL}/1").json()
    assert (body["amount"], body["fee"], body["kind"], body["own_date"]) == (10_000, 60, "payment", "2026-11-20")
    assert isinstance(body["id"], str)
    assert len(body["id"]) == 18


def test_a_number_that_does_not_exist_is_not_found(world, alice, client_for):
    response = client_for(alice).get(f"{URL}/none")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "api.not_found")


# --- tokens ---


def test_a_token_is_kept_as_a_digest_only(alice):
    token = token_issue(user=alice, name="core")
    assert token not in str(ApiToken.objects.values().get())


def test_a_revoked_token_ends_at_once(world, alice):
    headers = bearer(alice)
    assert token_revoke(token_id=ApiToken.objects.get().pk) is True
    assert Client().get(f"{URL}/1", **headers).status_code == 401
    assert token_revoke(token_id=ApiToken.objects.get().pk) is False


def test_a_token_of_a_deactivated_user_is_worth_nothing(world, alice):
    headers = bearer(alice)
    alice.is_active = False
    alice.save()
    assert Client().get(f"{URL}/1", **headers).status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Bearer payops_x", "Bearer payops_x y", "Bearer \xff"])
def test_a_made_up_token_is_refused(world, header):
    assert Client().get(f"{URL}/1", HTTP_AUTHORIZATION=header).status_code == 401


def test_the_command_issues_a_token_that_works(load, alice, capsys):
    load(order("1"))
    call_command("api_token", "issue", "alice", "core", "--json")
    token = json.loads(capsys.readouterr().out)["token"]
    assert Client().get(f"{URL}/1", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200


# --- the description ---


def test_the_openapi_description_is_the_one_kept(tmp_path):
    path = tmp_path / "openapi.yaml"
    call_command("spectacular", "--file", str(path), "--validate", "--fail-on-warn")
    kept = Path(__file__).parents[2] / "docs" / "openapi.yaml"
    assert path.read_text() == kept.read_text(), (
        "The API changed. If on purpose: manage.py spectacular --file docs/openapi.yaml"
    )


def test_the_description_needs_a_login(alice, client_for):
    assert client_for(None).get("/api/v1/schema").status_code in (401, 403)
    assert client_for(alice).get("/api/v1/schema").status_code == 200
