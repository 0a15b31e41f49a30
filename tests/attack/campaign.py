"""A campaign: shots in batches, what came of each, and the smallest shot that is to blame."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address

from tests.attack import messages, victims
from tests.attack.arena import Arena
from tests.attack.generate import ASIDE_FROM, MARK, Shot, aside, mark, shot
from tests.attack.ground import PEER, STRANGER, Sender, sender
from tests.attack.linux import Receiver
from tests.attack.oracle import Belief, Finding, Judge, beliefs
from tests.attack.scene import scenes
from tests.attack.services import CLIENTS, NETWORK, Services, lease

BATCH, ANSWERS = 250, 40
_LASTING = ("multicast", "a question")
"""Rules whose breach lasts for as long as the network takes a querier to be there."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Guilt:
    """A finding and the shots that may be to blame: one, as far as that could be told."""

    finding: Finding
    kind: str
    seed: int
    shots: tuple[Shot, ...]

    @property
    def signature(self) -> tuple[str, str]:
        """What makes it another finding than others."""
        return self.kind, self.finding.rule

    def told(self) -> str:
        """All that somebody needs who mends it."""
        lines = [f"{self.kind}: {self.finding.rule} (at {self.finding.where})"]
        for each in self.shots[:8]:
            lines.append(f"  shot {each.number}: {each.summary}")
            lines += [f"    sent {frame.form or ''} {frame.data.hex()}" for frame in each.frames]
        lines.append(f"  seen {self.finding.seen}")
        by_number = "" if "DHCP client" in self.finding.rule else "--only"
        numbers = " ".join(f"{by_number} {each.number}" for each in self.shots[:8] if by_number)
        lines.append(f"  again: ./run attack --kind {self.kind} --seed {self.seed} {numbers}")
        return "\n".join(lines)


@dataclass
class Tally:
    """What one sender has done so far."""

    shots: int = 0
    frames: int = 0
    refused: int = 0
    """Frames that the sender's own kernel did not send."""
    seen: int = 0
    """Frames of the attack that came out at other ports."""
    guilt: list[Guilt] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, guilt: Guilt) -> None:
        """Keep the first of each signature, and count them all."""
        self.counts[guilt.signature] += 1
        if self.counts[guilt.signature] == 1:
            self.guilt.append(guilt)


class Campaign:
    """One sender's attack in an arena."""

    def __init__(self, arena: Arena, services: Services, kind: str, seed: int) -> None:
        self.arena, self.services, self.kind, self.seed = arena, services, kind, seed
        self.sender: Sender = sender(arena.ground, kind)
        self.tally = Tally()
        self._scenes = scenes(arena.ground, self.sender)
        self._mark = mark(seed, kind)
        self._victims = {port: arena.enter[port] for port in victims.victims(arena.ground)}
        self._before: Mapping[str, Belief] = {}

    def begin(self) -> None:
        """Make victims know what is true, and remember it."""
        victims.forget_routers(self._victims)
        victims.acquaint(self.arena.ground, self._victims)
        self._before = victims.beliefs(self._victims)
        for _ in self.arena.drain():
            pass

    def batch(self, numbers: Iterable[int]) -> None:
        """Send the shots with these numbers at once and judge what comes of them."""
        self._judge([self._shot(number) for number in numbers])

    def _shot(self, number: int) -> Shot:
        if number >= ASIDE_FROM:
            return aside(self.seed, number - ASIDE_FROM, self._scenes, messages.queries)
        return shot(self.seed, number, self._scenes)

    def queries(self, count: int) -> None:
        """Send questions for multicast listeners, and only such as no host answers: one that is believed all
        the same makes a network forget its listeners.
        """
        far = self.arena.ground.stations["far"]
        made = (aside(self.seed, number, self._scenes, messages.queries) for number in itertools.count())
        ignored = (each for each in made if not _asks(Receiver(far.mac), each))
        self._judge(list(itertools.islice(ignored, count)), believed=False)

    def leases(self) -> None:
        """Answer DHCP clients before their server does."""
        for port in CLIENTS:
            fired: list[Shot] = []

            def attack(port: str, identity: int, kind: int, fired: list[Shot] = fired) -> None:
                station = self.arena.ground.stations[port]
                build = partial(messages.dhcp_answer, station, identity, kind)
                shots = [aside(self.seed, number, self._scenes, build) for number in range(ANSWERS)]
                fired += shots
                self._send(shots)

            for finding in lease(self.arena, self.sender, port, attack):
                self.tally.add(Guilt(finding, self.kind, self.seed, tuple(fired)))

    def _judge(self, shots: Sequence[Shot], *, believed: bool = True) -> None:
        """``believed``: a sender that may be a querier may become one by these."""
        found = self._fire(shots, count=True, believed=believed)
        if not found:
            return
        self.begin()
        for finding, number in found:
            suspects = {each for other, each in found if each is not None and other.where == finding.where}
            numbers = {number} if number is not None else suspects
            blamed = [each for each in shots if each.number in numbers]
            if finding.rule.startswith(_LASTING):  # no second try tells
                blamed = [
                    each for each in shots if " igmp 0x11" in each.summary or " mld 130" in each.summary
                ]
            self.tally.add(
                Guilt(finding, self.kind, self.seed, tuple(blamed or self._halved(shots, finding)))
            )

    def _halved(self, shots: Sequence[Shot], finding: Finding) -> Sequence[Shot]:
        """The smallest part of a batch that leads to the same finding again; the whole if none does."""
        if (self.kind, finding.rule) in self.tally.counts:
            return shots[:1]
        while len(shots) > 1:
            middle = len(shots) // 2
            for half in (shots[:middle], shots[middle:]):
                again = {(each.rule, each.where) for each, _ in self._fire(half)}
                self.begin()
                if (finding.rule, finding.where) in again:
                    shots = half
                    break
            else:
                return shots
        return shots

    def _fire(
        self, shots: Sequence[Shot], *, count: bool = False, believed: bool = True
    ) -> list[tuple[Finding, int | None]]:
        """Send shots and say what came of them, with the number of the shot where that is known."""
        routers = self.services.routers()
        refused, unmarked = self._send(shots)
        seen = self.arena.settle(self.sender)
        assert not self.arena.overlooked(), "the test's own sockets have lost frames"
        judge = Judge(self.arena.ground, self.sender)
        found: dict[tuple[str, int], tuple[Finding, int | None]] = {}
        attributed = 0
        for where, data in seen:
            number = self._number(data, unmarked)
            if number is None or where == self.sender.port:
                continue
            attributed += 1
            for finding in self._judged(judge, where, data):
                found.setdefault((finding.rule, number), (finding, number))
        if count:
            self.tally.shots += len(shots)
            self.tally.frames += sum(len(each.frames) for each in shots) - refused
            self.tally.refused += refused
            self.tally.seen += attributed
        return [*found.values(), *self._believed(), *self._disturbed(routers, believed=believed)]

    def _send(self, shots: Sequence[Shot]) -> tuple[int, dict[bytes, int]]:
        """How many frames the sender's kernel did not take, and the numbers of those that bear no mark."""
        hosts = sorted(self.arena.ground.vteps)
        unmarked: dict[bytes, int] = {}
        refused = 0
        for each in shots:
            host = "host1" if self.kind == "vtep" else hosts[each.number % len(hosts)]
            for frame in each.frames:
                refused += not self.arena.send(self.sender, frame, host)
                if self._mark not in frame.data[-MARK:]:
                    unmarked |= {frame.data: each.number, _untagged(frame.data): each.number}
        return refused, unmarked

    def _judged(self, judge: Judge, where: str, data: bytes) -> list[Finding]:
        if not where.startswith("underlay"):
            return judge.frame(where, data)
        source = str(IPv4Address(data[26:30])) if data[12:14] == b"\x08\x00" else data[6:12].hex(":")
        station = self.sender.station
        allowed = {self.arena.ground.vteps[station.host]} if station is not None else set()
        if source in allowed | {PEER, STRANGER}:  # those two answer what they cannot use, and quote it
            return []
        return [Finding("left by a host where it did not come in", f"{where} from {source}", data.hex())]

    def _number(self, data: bytes, unmarked: Mapping[bytes, int]) -> int | None:
        """Of which shot this frame is."""
        at = data.rfind(self._mark)
        if at >= 0 and len(data) >= at + MARK:
            return int.from_bytes(data[at + MARK // 2 : at + MARK], "big")
        return unmarked.get(data, unmarked.get(_untagged(data)))

    def _believed(self) -> list[tuple[Finding, None]]:
        """What kernels take to be true now and did not before the attack."""
        now = victims.beliefs(self._victims)
        return [
            (finding, None)
            for port, before in self._before.items()
            for finding in beliefs(self.arena.ground, self.sender, port, before, now[port])
        ]

    def _disturbed(self, routers: frozenset[str], *, believed: bool) -> list[tuple[Finding, None]]:
        """What no longer works; and whom the network takes to be a multicast router since."""
        found = self.services.findings()
        station = self.sender.station
        news = self.services.routers() - routers
        if news and (station is None or station.strict or not believed):
            found.append(Finding("a question that counts for nothing was believed", NETWORK, ", ".join(news)))
        return [(finding, None) for finding in found]


def _asks(receiver: Receiver, shot: Shot) -> bool:
    """Whether a host answers this question for listeners, if it gets it."""
    said = [fact for frame in shot.frames for fact in receiver.facts(_bare(frame.data))]
    return any(fact.what == "query" for fact in said)


def _bare(data: bytes) -> bytes:
    """Without any tag: which of them the overlay takes off is its own business."""
    while data[12:14] in {b"\x81\x00", b"\x88\xa8", b"\x91\x00"}:
        data = data[:12] + data[16:]
    return data


def _untagged(data: bytes) -> bytes:
    """Without its outermost tag, as it leaves by an access port."""
    return data[:12] + data[16:] if data[12:14] in {b"\x81\x00", b"\x88\xa8"} else data
