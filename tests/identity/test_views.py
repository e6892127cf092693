"""The front door: login, language, second factor, and the way to the right side of the house."""

from __future__ import annotations

import pytest
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def log_in(username: str, password: str = PASSWORD, **headers) -> tuple[Client, object]:
    client = Client(**headers)
    return client, client.post("/accounts/login/", {"username": username, "password": password})


def code_of(device: TOTPDevice) -> str:
    return f"{totp(device.bin_key, step=device.step, t0=device.t0, digits=device.digits):06d}"


def test_home_sends_a_stranger_to_the_login_page():
    assert Client().get("/").url == "/accounts/login/"


def test_home_sends_staff_to_the_console(client_for, alice):
    assert client_for(alice).get("/").url == "/console/"


def test_home_sends_a_merchant_to_the_portal(client_for, mei):
    assert client_for(mei).get("/").url == "/portal/"


def test_home_answers_get_only(client_for, alice):
    assert client_for(alice).post("/").status_code == 405


def test_the_right_password_opens_the_door(alice):
    _client, response = log_in("alice")
    assert (response.status_code, response.url) == (302, "/")


def test_a_wrong_password_is_said_without_saying_which_part_was_wrong(alice):
    _client, wrong = log_in("alice", "no")
    _client, unknown = log_in("mallory", "no")
    assert b"correct username and password" in wrong.content
    assert b"correct username and password" in unknown.content


def test_five_wrong_passwords_close_the_door_for_a_while(alice):
    for _attempt in range(5):
        log_in("alice", "no")
    _client, response = log_in("alice")
    assert response.status_code == 429
    assert b"quarter of an hour" in response.content


def test_the_page_speaks_the_language_the_user_chose(alice):
    alice.language = "zh-hans"
    alice.save(update_fields=["language"])
    _client, response = log_in("alice")
    assert response.cookies["payops_language"].value == "zh-hans"


def test_the_login_page_follows_the_browser():
    assert b'<html lang="zh-hans">' in Client(HTTP_ACCEPT_LANGUAGE="zh-CN").get("/accounts/login/").content
    assert b'<html lang="en">' in Client(HTTP_ACCEPT_LANGUAGE="en").get("/accounts/login/").content


def test_logging_out_needs_a_post(client_for, alice):
    client = client_for(alice)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").url == "/accounts/login/"


def test_the_front_page_forbids_foreign_and_inline_scripts():
    policy = Client().get("/accounts/login/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_console_may_evaluate_but_never_run_inline_scripts(client_for, alice):
    policy = client_for(alice).get("/console/nowhere/").headers["Content-Security-Policy"]
    script = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert "'unsafe-eval'" in script
    assert "'unsafe-inline'" not in script


class TestSecondFactor:
    @pytest.fixture(autouse=True)
    def _required(self, settings):
        settings.PAYOPS_REQUIRE_SECOND_FACTOR = True

    def test_staff_are_asked_before_anything_else(self, client_for, alice):
        assert client_for(alice).get("/console/").url == "/accounts/second-factor/?next=%2Fconsole%2F"

    def test_merchants_are_not_asked(self, client_for, mei):
        assert client_for(mei).get("/").url == "/portal/"

    def test_who_has_no_device_sets_one_up_with_the_first_right_code(self, client_for, alice):
        client = client_for(alice)
        assert client.get("/accounts/second-factor/").url == "/accounts/second-factor/setup/"
        assert b"data:image/svg+xml" in client.get("/accounts/second-factor/setup/").content
        device = TOTPDevice.objects.get(user=alice)
        client.post("/accounts/second-factor/setup/", {"code": code_of(device)})
        device.refresh_from_db()
        assert device.confirmed
        assert client.get("/").url == "/console/"

    def test_a_wrong_code_is_refused(self, client_for, alice):
        TOTPDevice.objects.create(user=alice, confirmed=True)
        response = client_for(alice).post("/accounts/second-factor/", {"code": "000000"})
        assert response.status_code == 200
        assert b"wrong or was used already" in response.content

    def test_the_right_code_leads_where_the_user_wanted_to_go(self, client_for, alice):
        device = TOTPDevice.objects.create(user=alice, confirmed=True)
        form = {"code": code_of(device), "next": "/console/cases/"}
        assert client_for(alice).post("/accounts/second-factor/", form).url == "/console/cases/"

    def test_nobody_is_led_to_another_site(self, client_for, alice):
        device = TOTPDevice.objects.create(user=alice, confirmed=True)
        form = {"code": code_of(device), "next": "https://evil.example/"}
        assert client_for(alice).post("/accounts/second-factor/", form).url == "/"

    def test_a_device_once_set_up_cannot_be_replaced_without_its_code(self, client_for, alice):
        TOTPDevice.objects.create(user=alice, confirmed=True)
        assert client_for(alice).get("/accounts/second-factor/setup/").url == "/accounts/second-factor/"

    def test_a_stranger_is_sent_to_the_login_page(self):
        assert Client().get("/accounts/second-factor/").url.startswith("/accounts/login/")
