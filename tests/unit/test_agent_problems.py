"""What an agent cannot do, in the description of its bridge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdnapp.engine.messages import Describe, Described, DescriptionsDue, Disconnected, LogEvent, TimerFired
from sdnapp.net.agent_problems import MOST, description, is_ours, problems
from tests.overlays import overlay
from tests.unit.test_engine import Fake, connected, of


@given(st.lists(st.text(min_size=1), max_size=40))
def test_a_description_fits_and_says_what_is_wrong(words: list[str]) -> None:
    text = description(words)

    assert len(text.encode(errors="surrogatepass")) <= MOST
    assert is_ours(text)
    assert "; ".join(words).startswith(problems(text).removesuffix("...")) or not words


def test_a_description_of_another_program_is_no_problem_and_is_not_ours_to_change() -> None:
    assert problems("rack 7, left") == ""
    assert not is_ours("rack 7, left")


def test_problems_of_an_agent_are_an_alarm_as_long_as_its_bridge_shows_them() -> None:
    there = overlay()
    fake = Fake(there)
    (host1, host2) = there.hosts.values()
    fake.tell(connected(host1), connected(host2))
    asked = of(Describe, fake.tell(TimerFired(DescriptionsDue())))
    assert {each.dpid for each in asked} == {host1.datapath_id, host2.datapath_id}

    (note,) = of(LogEvent, fake.tell(Described(host1.datapath_id, description(["no 8021q"]))))
    assert (note.event, note.fields, note.warning) == (
        "host.problems",
        {"host": "host1", "problems": "no 8021q"},
        True,
    )
    (alarm,) = fake.engine.status("").alarms
    assert (alarm.kind, alarm.host, alarm.text) == (
        "agent-error",
        "host1",
        "the agent of host1 reports: no 8021q",
    )
    assert fake.tell(Described(host1.datapath_id, description(["no 8021q"]))) == []

    (note,) = of(LogEvent, fake.tell(Described(host1.datapath_id, "")))
    assert (note.fields["problems"], note.warning) == ("none", False)
    fake.tell(Described(host1.datapath_id, description(["no 8021q"])), Disconnected(host1.datapath_id))
    assert fake.engine.status("").alarms == ()
