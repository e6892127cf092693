"""Addresses under /accounts/ besides login and logout."""

from django.urls import path

from payops.identity import views

app_name = "identity"
urlpatterns = [
    path("second-factor/", views.second_factor, name="second_factor"),
    path("second-factor/setup/", views.second_factor_setup, name="second_factor_setup"),
]
