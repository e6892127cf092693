"""The front door: login with the user's language, the second factor, and the way to the right side of the house."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from django_otp import login as second_factor_login
from django_otp import match_token, user_has_device
from django_otp.plugins.otp_totp.models import TOTPDevice

from payops.identity.forms import CodeForm
from payops.identity.qr import qr_svg_data_uri


class Login(LoginView):
    """Django's login; the page then speaks the language the user chose before."""

    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        language = form.get_user().language
        if language:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                language,
                secure=settings.LANGUAGE_COOKIE_SECURE,
                samesite=settings.LANGUAGE_COOKIE_SAMESITE,
            )
        return response


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Staff go to the console, merchants to the portal, everybody else to the login page."""
    if not request.user.is_authenticated:
        return redirect("login")
    return redirect("/portal/" if request.user.is_merchant else "/console/")


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for the code of a confirmed device; who has none yet is sent to set one up."""
    if not user_has_device(request.user):
        return redirect("identity:second_factor_setup")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        device = match_token(request.user, form.cleaned_data["code"])
        if device is not None:
            second_factor_login(request, device)
            return redirect(_safe_next(request))
        form.add_error("code", _("This code is wrong or was used already. Wait for the next one."))
    return render(request, "registration/second_factor.html", {"form": form, "next": request.GET.get("next", "")})


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def second_factor_setup(request: HttpRequest) -> HttpResponse:
    """Show a new device's key as a QR code; the first right code confirms it."""
    if user_has_device(request.user) and not request.user.is_verified():
        return redirect("identity:second_factor")
    device, _created = TOTPDevice.objects.get_or_create(
        user=request.user, confirmed=False, defaults={"name": "authenticator"}
    )
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if device.verify_token(form.cleaned_data["code"]):
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            second_factor_login(request, device)
            return redirect("home")
        form.add_error("code", _("This code is wrong. Check that the clock of your phone is right."))
    context = {"form": form, "qr": qr_svg_data_uri(device.config_url), "key": _readable_key(device)}
    return render(request, "registration/second_factor_setup.html", context)


def _readable_key(device: TOTPDevice) -> str:
    """The secret in base32, in groups of four, for those who type it."""
    import base64

    key = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


def _safe_next(request: HttpRequest) -> str:
    """Where the user wanted to go, as long as it is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return wanted
    return "/"
