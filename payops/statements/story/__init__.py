"""The whole story of one payment, in the order of time: order, bill lines, runs, vouchers, case, clearing, payout.

It stands here because it looks into every app below: an app further down could not name what settlement made of a row.
"""

from payops.statements.story.finding import Subjects, subjects_of
from payops.statements.story.telling import Event, Story, story_as_dict, story_as_text, story_of

__all__ = ["Event", "Story", "Subjects", "story_as_dict", "story_as_text", "story_of", "subjects_of"]
