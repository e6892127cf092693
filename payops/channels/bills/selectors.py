"""Reads of bill files and their lines."""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

from django.utils.translation import gettext as _

from payops.channels.choices import BillType, FileState
from payops.channels.formats import Expectation, Source, raw_line
from payops.channels.models import BillFile, BillLine, ChannelContract
from payops.core.errors import PayopsError
from payops.core.ids import DAY_STEP, day_floor, day_of
from payops.core.storage import full_path

FILE_STEP: Final = 10**8
"""Ids a file has for its lines."""


def contract_by_code(code: str) -> ChannelContract:
    """The contract a command or form names; PayopsError 'channels.unknown_contract' lists those there are."""
    contract = ChannelContract.objects.select_related("channel").filter(code=code).first()
    if contract is None:
        known = list(ChannelContract.objects.values_list("code", flat=True)[:20])
        raise PayopsError(
            "channels.unknown_contract",
            _("Channel “%(code)s” is not set up. Known: %(known)s. Check the name or load the set-up file.")
            % {"code": code, "known": ", ".join(known) or "–"},
            {"code": code, "known": known},
        )
    return contract


def accepted_file(
    contract: ChannelContract, day: dt.date, batch: int = 1, *, bill_type: str = BillType.TRADE
) -> BillFile | None:
    """The file of a type that stands for this channel day, None until one is accepted; a run works on the trades."""
    return BillFile.objects.filter(
        contract=contract, channel_date=day, batch=batch, bill_type=bill_type, state=FileState.ACCEPTED
    ).first()


def accepted_file_held(contract: ChannelContract, day: dt.date, batch: int = 1) -> BillFile | None:
    """The accepted bill, which no other version replaces before the caller's transaction ends."""
    while (bill_file := accepted_file(contract, day, batch)) is not None:
        held = BillFile.objects.select_for_update(no_key=True).filter(pk=bill_file.pk, state=FileState.ACCEPTED)
        if held.exists():
            return bill_file
    return None


def line_range(bill_file: BillFile) -> tuple[int, int]:
    """Half-open range of the ids of a file's lines; empty for a file without lines."""
    if bill_file.day_file_no is None:
        return 0, 0
    lo = day_floor(bill_file.channel_date) + bill_file.day_file_no * FILE_STEP
    return lo, lo + FILE_STEP


def file_of_line(line_id: int) -> BillFile:
    """The file a line belongs to, read from its id."""
    return BillFile.objects.get(channel_date=day_of(line_id), day_file_no=line_id % DAY_STEP // FILE_STEP)


def expectation_of(bill_file: BillFile) -> Expectation:
    """What the file has to be, from its contract."""
    contract = bill_file.contract
    return Expectation(
        account=contract.account_no,
        channel_date=bill_file.channel_date,
        file_name=bill_file.original_name,
        currency=contract.currency,
        options=contract.format_options or {},
    )


class LeftOut(NamedTuple):
    """How far a control total of a held file is from the lines that were read: what its unreadable lines hold."""

    name: str
    missing: int
    unit: str


def left_out(bill_file: BillFile) -> list[LeftOut]:
    """What the unreadable lines of a file hold by its own totals; empty when it states none that would tell."""
    return [
        LeftOut(figure["name"], figure["stated"] - figure["computed"], figure["unit"])
        for figure in bill_file.totals.get("control", [])
        if bill_file.bad_lines and figure["stated"] is not None and figure["stated"] != figure["computed"]
    ]


def source_of(bill_file: BillFile) -> Source:
    """The kept bytes."""
    return Source.of(full_path(bill_file.stored_path), bill_file.original_name)


def bill_line_raw(line: BillLine) -> str:
    """The line as the channel wrote it, payers and cards masked."""
    bill_file = file_of_line(line.pk)
    return raw_line(source_of(bill_file), expectation_of(bill_file), line.line_no, format_code=bill_file.format_code)
