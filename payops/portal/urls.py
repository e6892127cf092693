"""Addresses of the portal."""

from django.urls.resolvers import URLPattern, URLResolver

app_name = "portal"
urlpatterns: list[URLPattern | URLResolver] = []
