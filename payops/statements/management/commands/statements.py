"""`manage.py statements --date D [--merchant NO] [--out DIR]`: make the settlement statements of an accounting date."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts import selectors as ledger
from payops.core.errors import PayopsError
from payops.statements.models import Statement
from payops.statements.services import statements_build, statements_copy


class Command(BaseCommand):
    """Exit code 0: the statements exist; 1: something disagrees or is unknown."""

    help = "Make merchants' settlement statements (CSV and XLSX) and copy them to a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounting date, one merchant, where to."""
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="accounting date settled")
        parser.add_argument("--merchant", help="number of one merchant; all otherwise")
        parser.add_argument("--out", type=Path, help="folder to copy the files to")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            day = ledger.day_require(options["date"])
            made = statements_build(day=day, merchant_no=options["merchant"], username="command")
            paths = statements_copy(statements=made, folder=options["out"]) if options["out"] else []
        except (PayopsError, OSError) as error:
            self.stderr.write(str(error))
            if options["json"]:
                told = error.as_dict() if isinstance(error, PayopsError) else {"code": "os", "message": str(error)}
                self.stdout.write(json.dumps({"error": told}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            result = {
                "date": options["date"].isoformat(),
                "count": len(made),
                "out": str(options["out"]) if options["out"] else None,
                "statements": [as_json(each) for each in made],
            }
            self.stdout.write(json.dumps(result, ensure_ascii=False))
        else:
            for each in made:
                self.stdout.write(f"{each.sha256}  {each.file_name}")
            self.stdout.write(f"{len(made)} statements" + (f", copied to {options['out']}" if paths else ""))


def as_json(statement: Statement) -> dict[str, Any]:
    """One statement for machines; amounts are minor units."""
    return {
        "merchant": statement.merchant.merchant_no,
        "sheet": statement.sheet.sheet_no,
        "pay_date": statement.pay_date.isoformat(),
        "format": statement.format,
        "file": statement.file_name,
        "sha256": statement.sha256,
        "size": statement.size,
        "rows": statement.rows,
        "totals": statement.totals,
    }
