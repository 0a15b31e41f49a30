"""Untrusted text, such as port names, for terminals and logs: control characters are escaped."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, with an escape such as ``\x1b`` for each character that is not printable.

    These are control characters (C0 and C1), line ends, marks that change the direction of text, all
    spaces but one, and bytes that are no UTF-8 (surrogates of ``os.fsdecode``).
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def printable_lines(text: str) -> str:
    """The same of each line."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
