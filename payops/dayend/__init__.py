"""The timetable of a day: which step runs when, resumable."""
