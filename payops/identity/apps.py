"""App configuration: users, roles and what each role may do."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IdentityConfig(AppConfig):
    """Registers the app under its short label."""

    name = "payops.identity"
    label = "identity"
    verbose_name = _("Users and roles")
