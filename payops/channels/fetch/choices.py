"""Value sets of fetching: where a bill comes from, and what a try to get it came to."""

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SourceKind(models.TextChoices):
    """Where the files of a source lie; each has an adapter of its own."""

    FOLDER = "folder", _("Watched folder")
    SFTP = "sftp", "SFTP"
    WECHAT = "wechat", _("WeChat Pay v3")
    ALIPAY = "alipay", pgettext_lazy("file source", "Alipay")


OPTION_LABELS: Final = {
    "pattern": _("File name pattern"),
    "settle_seconds": _("Settling time (seconds)"),
    "date_offset_days": _("Days to add to the date"),
    "username": _("User"),
    "host_key": _("Host key"),
    "bill": _("Bill"),
    "mchid": _("Merchant number"),
    "serial_no": _("Serial number of our certificate"),
    "platform_serial": _("Id of the platform's key"),
    "platform_key": _("The platform's public key"),
    "app_id": _("Application id"),
    "alipay_key": _("Alipay's public key"),
}
"""What a setting of a source is called, to who fills it in and to who approves it."""


class FetchOutcome(models.TextChoices):
    """What one try came to. Only `taken`, `known` and `empty` leave a bill file."""

    TAKEN = "taken", pgettext_lazy("fetch", "Taken")
    KNOWN = "known", pgettext_lazy("fetch", "Known already")
    EMPTY = "empty", pgettext_lazy("fetch", "Empty day")
    NOTHING = "nothing", pgettext_lazy("fetch", "Not there yet")
    CREATING = "creating", pgettext_lazy("fetch", "Being made")
    NO_BILL = "no_bill", pgettext_lazy("fetch", "No bill")
    REFUSED = "refused", pgettext_lazy("fetch", "Refused")
    UNREACHABLE = "unreachable", pgettext_lazy("fetch", "Unreachable")
    MISCONFIGURED = "misconfigured", pgettext_lazy("fetch", "Set up wrongly")


WITH_FILE: Final = (FetchOutcome.TAKEN, FetchOutcome.KNOWN, FetchOutcome.EMPTY)
