"""The in-doubt window of a day (DOMAIN 3): where a row may belong to the neighbouring day of the other side."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
MIDNIGHT = time(0, 0)


@dataclass(frozen=True, slots=True)
class DoubtWindow:
    """Half-open instants in which an unmatched row is carried instead of becoming a difference."""

    spans: tuple[tuple[datetime, datetime], ...]

    def covers(self, instant: datetime) -> bool:
        """Whether the instant lies in one of the spans."""
        return any(start <= instant < end for start, end in self.spans)


def cut_off_instant(day: date, cut_off: time) -> datetime:
    """The instant at which `day` is cut off; 00:00 stands for 24:00 of that day."""
    at = datetime.combine(day, cut_off, SHANGHAI)
    return at + timedelta(days=1) if cut_off == MIDNIGHT else at


def doubt_window(
    day: date, *, own_cut_off: time, channel_cut_off: time, margin_minutes: int, previous_run_complete: bool
) -> DoubtWindow:
    """From min(own, channel cut-off) − margin to max + margin at the end of the day.

    The same span at its start counts too while the day before has no complete run: its rows may still turn up there.
    A window around one cut-off alone would make everything between the two a false case.
    """
    margin = timedelta(minutes=margin_minutes)

    def span(of_day: date) -> tuple[datetime, datetime]:
        cuts = sorted((cut_off_instant(of_day, own_cut_off), cut_off_instant(of_day, channel_cut_off)))
        return cuts[0] - margin, cuts[1] + margin

    spans = [span(day)]
    if not previous_run_complete:
        spans.insert(0, span(day - timedelta(days=1)))
    return DoubtWindow(tuple(spans))
