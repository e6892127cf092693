"""Addresses of the portal."""

from django.urls import path

from payops.portal import views

app_name = "portal"
urlpatterns = [
    path("", views.home, name="home"),
    path("transactions/", views.transaction_list, name="transactions"),
    path("transactions/export.csv", views.transaction_export, name="transactions_export"),
    path("transactions/<int:pk>/", views.transaction_detail, name="transaction"),
    path("settlements/", views.sheet_list, name="sheets"),
    path("settlements/<str:sheet_no>/", views.sheet_detail, name="sheet"),
    path("settlements/<str:sheet_no>/<int:item_id>/", views.sheet_item, name="item"),
    path("statements/", views.statement_list, name="statements"),
    path("statements/<int:pk>/", views.statement_download, name="statement"),
    path("language/", views.language, name="language"),
]
