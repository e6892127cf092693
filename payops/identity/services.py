"""Every write on users."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from payops.core.errors import PayopsError
from payops.identity.choices import MerchantRole, Role
from payops.identity.models import User


@transaction.atomic
def user_create(
    *,
    username: str,
    password: str | None,
    role: str,
    merchant_no: str = "",
    merchant_role: str = "",
    full_name: str = "",
    email: str = "",
    language: str = "",
    check_password: bool = True,
) -> User:
    """Make a user; a merchant's user is an administrator of its merchant unless told otherwise.

    Without a password the user cannot log in until one is set. ``check_password=False`` is for demonstrations, whose
    passwords are printed anyway. Raises PayopsError ``identity.*``.
    """
    if User.objects.filter(username=username).exists():
        raise PayopsError(
            "identity.username_taken", _("There is already a user named %s.") % username, {"username": username}
        )
    if role not in Role.values:
        raise PayopsError("identity.unknown_role", _("%s is not a role.") % role, {"role": role})
    _check_merchant(role, merchant_no)
    if role == Role.MERCHANT:
        merchant_role = merchant_role or MerchantRole.ADMINISTRATOR
    user = User(
        username=username,
        role=role,
        merchant_no=merchant_no,
        merchant_role=merchant_role,
        first_name=full_name,
        email=email,
        language=language if language in dict(settings.LANGUAGES) else "",
        is_staff=role != Role.MERCHANT,
        is_superuser=role == Role.ADMIN,
    )
    user_set_password(user=user, password=password, check=check_password, save=False)
    user.save()
    return user


def user_set_password(*, user: User, password: str | None, check: bool = True, save: bool = True) -> None:
    """Set a password after checking it against the rules; None locks the account out of password login."""
    if password is None:
        user.set_unusable_password()
    else:
        if check:
            try:
                validate_password(password, user)
            except ValidationError as error:
                raise PayopsError(
                    "identity.weak_password", " ".join(error.messages), {"username": user.username}
                ) from error
        user.set_password(password)
    if save:
        user.save(update_fields=["password"])


def user_set_language(*, user: User, language: str) -> None:
    """Remember the language a user chose; an unknown one is forgotten."""
    user.language = language if language in dict(settings.LANGUAGES) else ""
    user.save(update_fields=["language"])


def _check_merchant(role: str, merchant_no: str) -> None:
    if role == Role.MERCHANT and not merchant_no:
        raise PayopsError(
            "identity.merchant_missing", _("A merchant's user needs the merchant's number."), {"role": role}
        )
    if role != Role.MERCHANT and merchant_no:
        raise PayopsError(
            "identity.merchant_for_staff",
            _("Only a merchant's user carries a merchant number; %s was given for staff.") % merchant_no,
            {"role": role, "merchant_no": merchant_no},
        )


@transaction.atomic
def user_update(
    *,
    user: User,
    role: str,
    merchant_no: str = "",
    merchant_role: str = "",
    full_name: str = "",
    email: str = "",
    language: str = "",
) -> list[str]:
    """Bring a user to the given role, merchant and details; returns the names of the fields that changed.

    The password is left alone. Raises PayopsError ``identity.*``.
    """
    if role not in Role.values:
        raise PayopsError("identity.unknown_role", _("%s is not a role.") % role, {"role": role})
    _check_merchant(role, merchant_no)
    if role == Role.MERCHANT:
        merchant_role = merchant_role or MerchantRole.ADMINISTRATOR
    wanted = {
        "role": role,
        "merchant_no": merchant_no,
        "merchant_role": merchant_role,
        "first_name": full_name,
        "email": email,
        # A blank language means the user's own choice stands.
        "language": language if language in dict(settings.LANGUAGES) else user.language,
        "is_staff": role != Role.MERCHANT,
        "is_superuser": role == Role.ADMIN,
    }
    changed = [name for name, value in wanted.items() if getattr(user, name) != value]
    for name in changed:
        setattr(user, name, wanted[name])
    if changed:
        user.save(update_fields=changed)
    return changed
