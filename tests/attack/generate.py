"""One hostile shot for each number: the same from the same seed, whatever was generated before.

A shot is one message: a frame, or the frames that hold its fragments. Each frame ends with a mark, behind the
length that its packet has, so that it is known again wherever it comes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.attack import hiding, packets
from tests.attack.messages import COMMON, Message, Packet, Plain, mostly, tunnelled
from tests.attack.scene import Scene

MARK = 8
"""Bytes: of the run, and the number of the shot."""
ASIDE, ASIDE_FROM = "red/web", 1 << 31
"""The network of shots that ``shot`` does not make, and their first number."""


@dataclass(frozen=True)
class Frame:
    """``form`` and ``key``: of its encapsulation where it is sent by the underlay; None: none."""

    data: bytes
    form: str | None = None
    key: int = 0


@dataclass(frozen=True)
class Shot:
    number: int
    summary: str
    frames: tuple[Frame, ...]


def mark(seed: int, kind: str) -> bytes:
    """The first half of the mark of all frames of a run."""
    return hashlib.sha256(f"{seed}/{kind}".encode()).digest()[: MARK // 2]


def shot(seed: int, number: int, scenes: Sequence[Scene]) -> Shot:
    """The shot with this number of a sender, in one of its networks."""
    kind = scenes[0].kind
    random = Random(f"{seed}/{kind}/{number}")
    scene = random.choice(scenes)
    weights, builders = zip(*COMMON, strict=True)
    build: Message = random.choices(builders, weights)[0]
    message: Plain | Packet = build(random, scene)
    if random.random() < 0.04:
        message = tunnelled(random, scene, lambda: _inner(random, scene))
    return composed(random, number, scene, message, mark(seed, kind))


def aside(seed: int, number: int, scenes: Sequence[Scene], build: Message) -> Shot:
    """A shot with a message of one kind, beside those of ``shot``."""
    kind = scenes[0].kind
    random = Random(f"{seed}/{kind}/aside/{number}")
    scene = random.choice([scene for scene in scenes if scene.network == ASIDE])
    return composed(random, ASIDE_FROM + number, scene, build(random, scene), mark(seed, kind))


def composed(random: Random, number: int, scene: Scene, message: Plain | Packet, run: bytes) -> Shot:
    """The frames that carry this message, hidden in one way or another."""
    if isinstance(message, Packet):
        how, ethertype, payloads = hiding.wrapped(random, message)
    else:
        how, ethertype, payloads = "", message.ethertype, [message.payload]
    tagged, stack = hiding.tags(random, scene)
    source = scene.source_mac(random)
    to = mostly(random, message.to, scene.target_mac(random), chance=0.92)
    ending = b"" if random.random() < 0.04 else hiding.trailer(run, number)
    told = []
    frames = []
    form, key = hiding.keys(random, scene)
    for payload in payloads:
        whole = packets.ethernet(to, source, stack, ethertype, payload)
        short, whole = hiding.cut(random, whole)
        told.append(short)
        by_underlay = scene.kind in {"vtep", "underlay"}
        frames.append(Frame(whole + ending, form, key) if by_underlay else Frame(whole + ending))
    words = [f"in {scene.network}", message.name, how, tagged, *told]
    words.append("" if source == scene.mac else f"from {source}")
    words.append(f"{form} key {key}" if frames[0].form else "")
    return Shot(number, ", ".join(filter(None, words)), tuple(frames))


def _inner(random: Random, scene: Scene) -> bytes:
    """A whole frame, to be carried inside another packet."""
    message = random.choice([build for _, build in COMMON])(random, scene)
    if isinstance(message, Packet):
        _, ethertype, payloads = hiding.wrapped(random, message)
        payload = payloads[0]
    else:
        ethertype, payload = message.ethertype, message.payload
    return packets.ethernet(message.to, scene.source_mac(random), (), ethertype, payload)[:1300]
