"""Errors of a lab, each with a remedy."""

from __future__ import annotations


class LabError(Exception):
    """Its text is for the person at the terminal: one sentence, then at most the tail of a log."""
