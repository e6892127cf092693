"""Forms of file sources, one per kind, so that each shows only what it needs."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.channels.choices import BillType
from payops.channels.fetch.checks import source_check
from payops.channels.fetch.choices import OPTION_LABELS, SourceKind
from payops.channels.fetch.models import FileSource
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI

TIME: Final = {"type": "time"}


class Unechoed(forms.Textarea):
    """A secret goes in and never comes back, not even when the form is shown again."""

    def format_value(self, value: Any) -> str:
        """Always empty."""
        return ""


class SourceForm(forms.Form):
    """What all sources have; the order is that of the page."""

    kind: ClassVar[SourceKind]
    options: ClassVar[tuple[str, ...]] = ()
    """Fields that stand among the source's settings."""

    contract = forms.ModelChoiceField(
        label=_("Channel"), queryset=ChannelContract.objects.none(), to_field_name="code", empty_label=None
    )
    name = forms.SlugField(
        label=_("Source"), max_length=40, help_text=_("Letters, digits and hyphens: bill, log, errors.")
    )
    bill_type = forms.ChoiceField(label=_("Type"), choices=BillType.choices)
    address = forms.CharField(label=_("Address"), max_length=300)
    first_day = forms.DateField(
        label=_("First channel day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    first_try = forms.TimeField(label=_("First try"), widget=forms.TimeInput(attrs=TIME, format="%H:%M"))
    every_minutes = forms.IntegerField(label=_("Every (minutes)"), min_value=1, max_value=720)
    deadline = forms.TimeField(
        label=_("Deadline"),
        widget=forms.TimeInput(attrs=TIME, format="%H:%M"),
        help_text=_("Later than this the day is late: people are told, and it is tried once an hour."),
    )
    empty_after = forms.TimeField(
        label=_("Empty day from"),
        required=False,
        widget=forms.TimeInput(attrs=TIME, format="%H:%M"),
        help_text=_(
            "From then on “no bill” is an empty day, if we have no success that day. Left out: never by itself."
        ),
    )
    active = forms.TypedChoiceField(
        label=pgettext_lazy("file source", "State"),
        coerce=lambda value: value == "active",
        choices=[
            ("active", pgettext_lazy("file source", "In force")),
            ("ended", pgettext_lazy("file source", "Ended")),
        ],
    )
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, *args: Any, present: FileSource | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.present = present
        self.fields["contract"].queryset = ChannelContract.objects.filter(active=True).order_by("code")
        if present is not None:
            # A version replaces the one of the same contract and name; another name would be another source.
            self.fields["contract"].disabled = self.fields["name"].disabled = True
        if "secret" in self.fields and present is not None:
            self.fields["secret"].help_text = _("Left empty, the present one stays, unless the address is another.")

    def clean(self) -> dict[str, Any]:
        """A source that could never deliver is refused at the field that is wrong."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            source = self.source()
            if self.present is not None and not source.secret and not source.secret_file:
                source.secret, source.secret_file = self.present.secret, self.present.secret_file
            try:
                source_check(source)
            except PayopsError as error:
                field = error.context.get("field")
                self.add_error(field if field in self.fields else None, str(error))
        return cleaned

    def source(self) -> FileSource:
        """The source as it is filled in, unsaved."""
        data = self.cleaned_data
        names = ("contract", "name", "bill_type", "address", "first_day", "first_try", "every_minutes", "deadline")
        return FileSource(
            **{name: data[name] for name in names},
            kind=self.kind,
            empty_after=data["empty_after"],
            active=data["active"],
            secret=data.get("secret", "").strip(),
            secret_file=data.get("secret_file", "").strip(),
            options={name: data[name] for name in self.options},
        )


def _ordered(form: type[SourceForm], *own: str) -> type[SourceForm]:
    """What is special to a kind stands behind the address."""
    names = list(SourceForm.base_fields)
    at = names.index("address") + 1
    form.field_order = [*names[:at], *own, *names[at:]]
    return form


class _Named(SourceForm):
    """Files whose day stands in their names."""

    pattern = forms.CharField(
        label=OPTION_LABELS["pattern"],
        max_length=200,
        help_text=_("Regular expression of the whole name; (?P<date>…) finds the channel day, YYYYMMDD or YYYY-MM-DD."),
    )
    settle_seconds = forms.IntegerField(
        label=OPTION_LABELS["settle_seconds"],
        min_value=0,
        max_value=3600,
        help_text=_("A file that changed more recently is left for the next try."),
    )
    date_offset_days = forms.IntegerField(
        label=OPTION_LABELS["date_offset_days"],
        min_value=-3,
        max_value=3,
        help_text=_("−1 where files carry the date of the day they were made."),
    )


class FolderForm(_Named):
    """A watched folder."""

    kind = SourceKind.FOLDER
    options = ("pattern", "settle_seconds", "date_offset_days")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].help_text = _("A folder below the inbox of this installation.")


class _Secret(forms.Form):
    """A secret, in the row or in a file."""

    secret = forms.CharField(
        label=_("Secret"), required=False, max_length=8000, widget=Unechoed(attrs={"rows": 3, "autocomplete": "off"})
    )
    secret_file = forms.CharField(
        label=_("File of the secret"),
        max_length=200,
        required=False,
        help_text=_("Instead of the secret: a file below the folder of secrets."),
    )


class SftpForm(_Secret, _Named):
    """A folder on an SFTP server."""

    kind = SourceKind.SFTP
    options = ("username", "host_key", "pattern", "settle_seconds", "date_offset_days")

    username = forms.CharField(label=OPTION_LABELS["username"], max_length=60)
    host_key = forms.CharField(
        label=OPTION_LABELS["host_key"], max_length=1200, help_text=_("As in known_hosts: ssh-ed25519 AAAA…")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].help_text = _("sftp://host:port/folder")
        self.fields["secret"].label = _("Password or private key")


class WechatForm(_Secret, SourceForm):
    """WeChat Pay's trade bill or fund-flow bill."""

    kind = SourceKind.WECHAT
    options = ("mchid", "serial_no", "platform_serial", "platform_key", "bill")

    bill = forms.ChoiceField(
        label=OPTION_LABELS["bill"], choices=[("trade", _("Trade bill")), ("fundflow", _("Fund-flow bill"))]
    )
    mchid = forms.CharField(label=OPTION_LABELS["mchid"], max_length=40)
    serial_no = forms.CharField(label=OPTION_LABELS["serial_no"], max_length=80)
    platform_serial = forms.CharField(
        label=OPTION_LABELS["platform_serial"],
        max_length=80,
        help_text=_("PUB_KEY_ID_… or the certificate's serial number."),
    )
    platform_key = forms.CharField(
        label=OPTION_LABELS["platform_key"], widget=forms.Textarea(attrs={"rows": 3}), max_length=8000
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["secret"].label = _("Our private key")


class AlipayForm(_Secret, SourceForm):
    """Alipay's business detail or accounting detail."""

    kind = SourceKind.ALIPAY
    options = ("app_id", "alipay_key", "bill")

    bill = forms.ChoiceField(
        label=OPTION_LABELS["bill"], choices=[("trade", _("Business detail")), ("signcustomer", _("Accounting detail"))]
    )
    app_id = forms.CharField(label=OPTION_LABELS["app_id"], max_length=40)
    alipay_key = forms.CharField(
        label=OPTION_LABELS["alipay_key"], widget=forms.Textarea(attrs={"rows": 3}), max_length=8000
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["secret"].label = _("Our private key")


FORMS: Final[dict[SourceKind, type[SourceForm]]] = {
    SourceKind.FOLDER: _ordered(FolderForm, "pattern", "settle_seconds", "date_offset_days"),
    SourceKind.SFTP: _ordered(
        SftpForm,
        "username",
        "secret",
        "secret_file",
        "host_key",
        "pattern",
        "settle_seconds",
        "date_offset_days",
    ),
    SourceKind.WECHAT: _ordered(
        WechatForm, "bill", "mchid", "serial_no", "secret", "secret_file", "platform_serial", "platform_key"
    ),
    SourceKind.ALIPAY: _ordered(AlipayForm, "bill", "app_id", "secret", "secret_file", "alipay_key"),
}

_ADDRESSES: Final = {
    SourceKind.WECHAT: "https://api.mch.weixin.qq.com",
    SourceKind.ALIPAY: "https://openapi.alipay.com/gateway.do",
}


def initial_of(kind: SourceKind, source: FileSource | None = None) -> dict[str, Any]:
    """What the form shows first: the source as it is, or what most sources of the kind need."""
    if source is None:
        return {
            "name": "bill",
            "bill_type": BillType.TRADE,
            "address": _ADDRESSES.get(kind, ""),
            "first_day": timezone.now().astimezone(SHANGHAI).date(),
            "first_try": dt.time(10, 0) if kind == SourceKind.WECHAT else dt.time(9, 0),
            "every_minutes": 10,
            "deadline": dt.time(12, 0),
            "settle_seconds": 30 if kind == SourceKind.FOLDER else 60,
            "date_offset_days": 0,
            "active": "active",
        }
    names = ("name", "bill_type", "address", "first_day", "first_try", "every_minutes", "deadline", "empty_after")
    return {
        "settle_seconds": 30,
        "date_offset_days": 0,
        **source.options,
        **{name: getattr(source, name) for name in names},
        "contract": source.contract.code,
        "secret_file": source.secret_file,
        "active": "active" if source.active else "ended",
    }
