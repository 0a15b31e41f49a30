"""What a host's agent cannot do, as the description of its bridge: the way from agent to controller.

Open vSwitch shows ``other_config:dp-desc`` of a bridge (ovs-vswitchd.conf.db(5)) in the description that
OpenFlow asks for (OFPMP_DESC). No other connection between the two is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

MOST = 255
"""Bytes of a description (DESC_STR_LEN of OpenFlow 1.3, less the zero at its end)."""

_MARK = "sdnapp: "
_BETWEEN = "; "


def description(problems: Iterable[str]) -> str:
    """The description with these problems, cut where it is full; empty without any."""
    text = _BETWEEN.join(problems)
    if not text:
        return ""
    whole = f"{_MARK}{text}".encode()
    if len(whole) <= MOST:
        return whole.decode()
    return whole[: MOST - 3].decode(errors="ignore") + "..."


def problems(description: str) -> str:
    """The problems in a description; empty where there are none, or another program wrote it."""
    return description.removeprefix(_MARK) if is_ours(description) else ""


def is_ours(description: str) -> bool:
    """Whether an agent wrote this description, or none did."""
    return not description or description.startswith(_MARK)
