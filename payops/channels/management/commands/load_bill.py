"""`manage.py load_bill --channel CODE --date D FILE`: receive a bill file and read it into lines."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.bills.selectors import contract_by_code
from payops.channels.bills.services import bill_load
from payops.channels.choices import FileState
from payops.channels.models import BillFile
from payops.core.errors import PayopsError

EXIT_CODES = {FileState.ACCEPTED: 0, FileState.SUPERSEDED: 0, FileState.HELD: 2}


class Command(BaseCommand):
    """Exit code 0: accepted (or known already); 2: held, a person decides; 1: rejected or not possible."""

    help = "Load a channel's bill file for one channel day."

    def add_arguments(self, parser: CommandParser) -> None:
        """Channel contract, day, file."""
        parser.add_argument("file")
        parser.add_argument("--channel", required=True, help="code of the channel contract")
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="channel accounting date")
        parser.add_argument("--batch", type=int, default=1)
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            bill_file = bill_load(
                contract=contract_by_code(options["channel"]),
                channel_date=options["date"],
                stream=options["file"],
                source="command",
                user="command",
                batch=options["batch"],
            )
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(as_json(bill_file), ensure_ascii=False))
        else:
            for file in (bill_file, *bill_file.companions):
                self.stdout.write(
                    f"{file.original_name}: {file.get_bill_type_display()}, {file.state}, version {file.version},"
                    f" {file.line_count} lines" + (", received before" if file.duplicate else "")
                )
        for file in (bill_file, *bill_file.companions):
            if file.error_message:
                self.stderr.write(file.error_message)
        codes = {EXIT_CODES.get(FileState(file.state), 1) for file in (bill_file, *bill_file.companions)}
        code = 1 if 1 in codes else max(codes)
        if code:
            sys.exit(code)


def as_json(bill_file: BillFile) -> dict[str, Any]:
    """The outcome for machines; amounts are minor units."""
    return {
        "file": bill_file.pk,
        "channel": bill_file.contract.code,
        "date": bill_file.channel_date.isoformat(),
        "batch": bill_file.batch,
        "type": bill_file.bill_type,
        "version": bill_file.version,
        "state": bill_file.state,
        "duplicate": bill_file.duplicate,
        "sha256": bill_file.sha256,
        "lines": bill_file.line_count,
        "proven": bill_file.proven,
        "totals": bill_file.totals,
        "bad_lines": bill_file.bad_lines,
        "companions": [as_json(companion) for companion in getattr(bill_file, "companions", ())],
        "error": {"code": bill_file.error_code, "message": bill_file.error_message} if bill_file.error_code else None,
    }
