"""The map of the site: staff under /console/, merchants under /portal/, machines under /api/v1/."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.generic import RedirectView

from payops.identity.views import Login, home

urlpatterns = [
    path("", home, name="home"),
    path("accounts/login/", Login.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("accounts/", include("payops.identity.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    # Asked for by browsers that show a file instead of a page.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}img/payops.svg")),
    path("console/", include("payops.console.urls")),
    path("portal/", include("payops.portal.urls")),
    path("api/v1/", include("payops.api.urls")),
]
