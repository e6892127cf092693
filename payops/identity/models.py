"""The user of payops: staff or a merchant's person, never both."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.identity.blocks import is_blocked
from payops.identity.choices import MerchantRole, Role
from payops.identity.roles import ALL_CODES, PORTAL_INSTRUCTIONS, permissions_of


class PayopsUserManager(UserManager):
    """Django's manager; a superuser made on the command line is an administrator."""

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra: Any
    ) -> User:
        return super().create_superuser(username, email, password, **{"role": Role.ADMIN, **extra})


class User(AbstractUser):
    """One person who can log in: staff carry no merchant, a merchant's user exactly one. Written by the services.

    ``merchant_no`` is a number, not a foreign key: users live on a lower floor than merchants.
    """

    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    merchant_no = models.CharField(_("merchant number"), max_length=32, blank=True, default="")
    merchant_role = models.CharField(
        _("role at the merchant"), max_length=16, choices=MerchantRole.choices, blank=True, default=""
    )
    language = models.CharField(_("language"), max_length=10, blank=True, default="")

    objects = PayopsUserManager()

    class Meta:
        ordering: ClassVar = ["username"]
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints: ClassVar = [
            models.CheckConstraint(name="user_role_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(
                name="user_merchant_iff_role",
                condition=(
                    (Q(role=Role.MERCHANT) & ~Q(merchant_no="") & Q(merchant_role__in=MerchantRole.values))
                    | (~Q(role=Role.MERCHANT) & Q(merchant_no="") & Q(merchant_role=""))
                ),
            ),
            models.CheckConstraint(
                name="user_merchant_not_staff",
                condition=~Q(role=Role.MERCHANT) | Q(is_staff=False, is_superuser=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["merchant_no"], name="user_merchant_no", condition=~Q(merchant_no=""))
        ]

    @property
    def is_merchant(self) -> bool:
        return self.role == Role.MERCHANT

    @property
    def is_staff_member(self) -> bool:
        """True for everybody who works in the console."""
        return self.role in Role.values and not self.is_merchant

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    def may(self, code: str) -> bool:
        """Whether the role holds the permission; an unknown code is a programming mistake and raises KeyError."""
        if code not in ALL_CODES:
            raise KeyError(f"Unknown permission {code!r}; the map stands in payops.identity.roles.")
        if not self.is_active or code not in permissions_of(self.role, self.merchant_role):
            return False
        return code not in PORTAL_INSTRUCTIONS or not is_blocked(self)
