"""What loading a set-up file did, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.core.upserts import Upserted

SHOWN_NAMES: Final[int] = 12


@dataclass(slots=True)
class SetupReport:
    """What a load did, section by section."""

    sections: dict[str, Upserted] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """What still stands in the way of posting: one sentence per event without a rule and owner without an account."""
    seconds: float = 0.0
    dry_run: bool = False

    def add(self, section: str, outcome: Upserted) -> None:
        """Add the outcome of one section."""
        self.sections.setdefault(section, Upserted()).absorb(outcome)

    @property
    def touched(self) -> bool:
        """Whether anything was created or changed."""
        return any(part.created or part.changed for part in self.sections.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Figures per section."""
        return {
            name: {"created": len(part.created), "changed": len(part.changed), "unchanged": len(part.unchanged)}
            for name, part in self.sections.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON output shows it, with every name."""
        return {
            "ok": True,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 2),
            "sections": {
                name: {"created": part.created, "changed": part.changed, "unchanged": len(part.unchanged)}
                for name, part in self.sections.items()
            },
            "missing": self.missing,
        }

    def lines(self) -> Iterator[str]:
        """The report as the command prints it: a table, then the names of what is new or different."""
        heads = [str(text) for text in (_("created"), _("changed"), _("left alone"))]
        yield f"{'':<20}" + "".join(f"{head:>12}" for head in heads)
        for name, figures in self.counts().items():
            yield f"{name:<20}" + "".join(f"{figures[key]:>12,}" for key in ("created", "changed", "unchanged"))
        for name, part in self.sections.items():
            if part.created:
                yield _("created %(section)s: %(names)s") % {"section": name, "names": _shortened(part.created)}
            if part.changed:
                described = [f"{label} ({', '.join(fields)})" for label, fields in part.changed.items()]
                yield _("changed %(section)s: %(names)s") % {"section": name, "names": _shortened(described)}
        yield from self.missing


def _shortened(names: list[str]) -> str:
    rest = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (_(" and %d more") % rest if rest > 0 else "")
