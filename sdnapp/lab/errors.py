"""What can go wrong in a lab, in one sentence that says what to do."""

from __future__ import annotations


class LabError(Exception):
    """Its text is for the person at the terminal: one sentence, then at most the tail of a log."""
