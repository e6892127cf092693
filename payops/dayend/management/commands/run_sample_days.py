"""`manage.py run_sample_days`: walk the sample days and show that what was planted was found, and nothing else."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.dayend.sample import summary as result
from payops.dayend.sample.bank import running_bank
from payops.dayend.sample.generator import generate
from payops.dayend.sample.plan import Options
from payops.dayend.sample.verdict import differences_from
from payops.dayend.sample.walk import Walk

DEFAULTS = Options()


class Command(BaseCommand):
    """See docs/sample-days.md."""

    help = "Run the sample days and compare what is found with their answers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dir", type=Path, help="folder of the sample days (default var/sample-days)")
        parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help="when the days are made now")
        parser.add_argument("--merchants", type=int, default=DEFAULTS.merchants, help="when the days are made now")
        parser.add_argument("--transactions", type=int, default=DEFAULTS.transactions, help="when they are made now")
        parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        root: Path = options["dir"] or Path(settings.PAYOPS_VAR_DIR) / "sample-days"
        chosen = Options(seed=options["seed"], merchants=options["merchants"], transactions=options["transactions"])
        if options["dir"] is None or not (root / "answers.json").exists():
            _make(root, chosen)
        answers = json.loads((root / "answers.json").read_text(encoding="utf-8"))
        try:
            with running_bank(Path(settings.PAYOPS_VAR_DIR) / "bank") as bank:
                Walk(root, bank, self.stderr.write).run()
        except PayopsError as error:
            raise CommandError(str(error)) from error
        summary = result.summarise()
        wrong = differences_from(answers)
        unbalanced = [day["day"] for day in summary["days"] if not day["balanced"]]
        wrong += [_("The trial balance of %s does not balance.") % day for day in unbalanced]
        if options["json"]:
            self.stdout.write(json.dumps({**summary, "wrong": wrong}, ensure_ascii=False))
        else:
            self.stdout.write("\n".join([*result.lines_of(summary), ""]))
            self.stdout.write(_verdict(answers, wrong))
        if wrong:
            raise CommandError(_("%d things are not as the answers say.") % len(wrong))


def _make(root: Path, chosen: Options) -> None:
    """Write the days unless these very ones are there already."""
    made_by = {**asdict(chosen), "first": str(chosen.first), "last": str(chosen.last)}
    try:
        known = json.loads((root / "answers.json").read_text(encoding="utf-8"))["made_by"]
    except (OSError, ValueError, KeyError):
        known = None
    if known != made_by:
        generate(root, chosen)


def _verdict(answers: dict[str, Any], wrong: list[str]) -> str:
    if wrong:
        return "\n".join([_("Not as the answers say:"), *(f"  {sentence}" for sentence in wrong)])
    planted = len(answers["differences"])
    return _("All %d planted differences were found as what they are, and nothing else was.") % planted
