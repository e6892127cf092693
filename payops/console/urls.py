"""Addresses of the console."""

from django.urls.resolvers import URLPattern, URLResolver

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = []
