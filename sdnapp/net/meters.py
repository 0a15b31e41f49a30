"""The meters that hold the ports of a bridge to their rates, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from flows.flow import Meter, Unit
from flows.view import Limits
from sdnapp.config import names
from sdnapp.net.model import Port, Rate

What = Literal["send", "receive", "broadcast"]
WHAT: tuple[What, ...] = ("send", "receive", "broadcast")


def meters(ports: Iterable[Port]) -> Mapping[tuple[str, What], Meter]:
    """By interface and what is limited, the meters of a bridge that has these ports."""
    rates = {
        (port.interface, what): rate
        for port in ports
        for what in WHAT
        if (rate := getattr(port.limits, what)) is not None
    }
    numbers = names.ofports((f"{interface} {what}" for interface, what in rates), names.METER_NUMBERS)
    return {
        (interface, what): _meter(numbers[f"{interface} {what}"], rate, what)
        for (interface, what), rate in rates.items()
    }


def _meter(number: int, rate: Rate, what: What) -> Meter:
    """A meter counts frames, or kilobits of 1,000."""
    if what == "broadcast":
        return Meter(number, rate.rate, rate.burst)
    return Meter(number, rate.rate // 1000, -(-rate.burst * 8 // 1000), Unit.KILOBITS)


def limits(ports: Iterable[Port], number: Mapping[str, int]) -> Mapping[int, Limits]:
    """By port number, the meters of those ports that have a rate and a number."""
    of_bridge = meters(ports)
    interfaces = sorted({interface for interface, _ in of_bridge} & number.keys())
    return {
        number[interface]: Limits(*(of_bridge.get((interface, what)) for what in WHAT))
        for interface in interfaces
    }
