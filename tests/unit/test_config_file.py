"""The file on disk: read with bounds, and watched, whatever an editor or an orchestrator does to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdnapp.config import Invalid
from sdnapp.config_file import ConfigSnapshot, Loader, Watch, load

TEXT = "tenants: {}\nhosts: {host1: {vtep: 192.168.4.201}}\nports: {}\n"
OTHER = TEXT.replace("201", "202")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    directory = tmp_path / "etc"
    directory.mkdir()
    file = directory / "overlay.yaml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def watch(path: Path) -> Iterator[Watch]:
    with Watch(path) as watch:
        yield watch


def test_load_gives_what_the_file_means(path: Path) -> None:
    assert list(load(path).hosts) == ["host1"]


def test_a_file_that_is_loaded_aside_means_the_same(path: Path) -> None:
    assert Loader(path).load_aside() == load(path)


GREEN = """
import eventlet
eventlet.monkey_patch(thread=False)
import sys
from sdnapp import config_file

def build(*given, known=config_file.build):
    print(hasattr(eventlet.hubs._threadlocal, "hub"))
    return known(*given)

config_file.build = build
config_file.Loader(sys.argv[1]).load_aside()
"""


def test_the_thread_that_loads_a_file_aside_has_no_greenlets(path: Path) -> None:
    """When it ends, greenlet would look through all memory, which takes 20 ms in a large controller."""
    command = [sys.executable, "-W", "ignore", "-c", GREEN, str(path)]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_is_wrong_with_a_file_that_is_loaded_aside_is_raised_all_the_same(path: Path) -> None:
    path.write_text("nonsense")

    with pytest.raises(Invalid) as aside:
        Loader(path).load_aside()
    with pytest.raises(Invalid, match=f"^{re.escape(str(aside.value))}$"):
        load(path)


def test_a_broken_file_is_told_as_if_it_were_the_first_and_forgets_nothing(path: Path) -> None:
    loader = Loader(path)
    before = loader.load()
    path.write_text(TEXT.replace("192.168.4.201", "nonsense"))
    with pytest.raises(Invalid) as first:
        load(path)
    with pytest.raises(Invalid, match=f"^{re.escape(str(first.value))}$"):
        loader.load()
    path.write_text(TEXT)

    assert loader.load().hosts["host1"] is before.hosts["host1"]


def test_what_is_kept_means_what_it_meant_whatever_becomes_of_the_file(path: Path, tmp_path: Path) -> None:
    loader, kept = Loader(path), ConfigSnapshot(str(tmp_path))
    before = loader.load()
    kept.save(loader.text)
    path.write_text("tenants: [")
    with pytest.raises(Invalid):
        loader.load()

    assert ConfigSnapshot(str(tmp_path)).load_unless(b"") == before
    assert ConfigSnapshot(str(tmp_path)).load_unless(loader.text) is None
    assert loader.text.decode() != path.read_text()


def test_a_configuration_kept_by_an_earlier_version_means_what_it_meant(path: Path, tmp_path: Path) -> None:
    past = """
overlay: {flap: {moves: 3, seconds: 60, freeze: 30}}
tenants: {red: {networks: {web: {vni: 5010, subnet: 10.1.1.0/24, dhcp: true}}}}
hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1, security: learn, may: router, assign: dhcp}
  red2: {host: host1, network: red/web, address: 10.1.1.2, security: strict, broadcast_rate: 10, assign: file}
peers: {nas: {host: host1, vtep: 192.168.4.77, keys: {red/web: 5010}, may: dhcp-server}}
"""
    pairs = (
        ("flap: {moves: 3, seconds", "duplicate_mac_detection: {max_moves: 3, period"),
        (" security: learn", " port_security: false"),
        (" security: strict", " port_security: true"),
        ("assign: dhcp", "addressing: dhcp"),
        ("assign: file", "addressing: static"),
        ("may:", "roles:"),
        ("broadcast_rate", "storm_control"),
    )
    present = past
    for former, now in pairs:
        present = present.replace(former, now)
    path.write_text(present)
    ConfigSnapshot(str(tmp_path)).save(past.encode())

    assert ConfigSnapshot(str(tmp_path)).load_unless(b"") == Loader(path).load()


def test_a_broken_configuration_with_former_keys_is_not_in_force(tmp_path: Path) -> None:
    ConfigSnapshot(str(tmp_path)).save(
        b"overlay: {flap: {moves: 0}}\ntenants: {}\nhosts: {}\nports: [x]\npeers:\n"
    )
    assert ConfigSnapshot(str(tmp_path)).load_unless(b"") is None


def test_where_nothing_is_kept_nothing_was_in_force(tmp_path: Path) -> None:
    assert ConfigSnapshot(str(tmp_path)).load_unless(b"") is None
    ConfigSnapshot(None).save(b"text")
    assert ConfigSnapshot(None).load_unless(b"") is None
    ConfigSnapshot(str(tmp_path)).save(b"no overlay of this version")
    assert ConfigSnapshot(str(tmp_path)).load_unless(b"") is None


def test_problems_name_the_file(path: Path) -> None:
    path.write_text(TEXT.replace("192.168.4.201", "nonsense"))

    with pytest.raises(Invalid, match=f"^{path}:2:23: hosts.host1.vtep: "):
        load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "cannot read the file: is a directory"),
        (os.mkfifo, "cannot read the file: is a pipe or device"),
        (lambda file: file.symlink_to("/dev/zero"), "cannot read the file: is a pipe or device"),
        (lambda file: file.symlink_to(file), "cannot read the file: too many levels of symbolic links"),
        (lambda _: None, "cannot read the file: no such file or directory"),
    ],
    ids=["directory", "fifo", "device", "loop", "nothing"],
)
def test_what_is_no_file_is_one_problem(make: Callable[[Path], object], message: str, path: Path) -> None:
    path.unlink()
    make(path)

    with pytest.raises(Invalid) as caught:
        load(path)
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    os.truncate(path, 50_000_000_000)  # sparse: reading it would take all the memory there is
    began = time.monotonic()

    with pytest.raises(Invalid, match="larger than 10 MB"):
        load(path)
    assert time.monotonic() - began < 0.5


def test_nothing_happens_until_the_content_changes(watch: Watch, path: Path) -> None:
    assert not watch.changed(0.1)
    path.write_text(TEXT)
    path.touch()
    path.with_name("other.yaml").write_text(OTHER)
    assert not watch.changed(0.3)


def replace(path: Path) -> None:
    """As editors do: write another file and move it over the old one."""
    new = path.with_name(".overlay.yaml.swp")
    new.write_text(OTHER)
    new.replace(path)


def rewrite(path: Path) -> None:
    path.write_text(OTHER)


def move_away_and_write(path: Path) -> None:
    path.rename(path.with_name("overlay.yaml~"))
    path.write_text(OTHER)


@pytest.mark.parametrize("edit", [replace, rewrite, move_away_and_write])
def test_each_edit_is_seen_once(edit: Callable[[Path], None], watch: Watch, path: Path) -> None:
    edit(path)

    assert watch.changed(5)
    assert load(path).hosts["host1"].vtep.packed[-1] == 202
    assert not watch.changed(0.2)


def test_a_change_between_watch_and_wait_is_not_missed(path: Path) -> None:
    with Watch(path) as watch:
        path.write_text(OTHER)
        time.sleep(0.1)
        assert watch.changed(5)


def test_half_a_file_is_not_seen_before_the_writer_closes_it(watch: Watch, path: Path) -> None:
    with path.open("w") as file:
        file.write(OTHER[:20])
        file.flush()
        assert not watch.changed(0.2)
        file.write(OTHER[20:])
    assert watch.changed(5)
    assert load(path)


def test_what_was_read_half_is_read_again_once_it_is_whole(path: Path) -> None:
    """As on SIGHUP in the midst of a write, though the file then holds just what it held before."""
    whole = path.read_text()
    with Watch(path) as watch:
        loader = Loader(path, watch)
        loader.load()
        for half in ("", whole[: len(whole) // 2]):
            with path.open("w") as writer:
                writer.write(half)
                writer.flush()
                with pytest.raises(Invalid):
                    loader.load()
                writer.write(whole[len(half) :])

            assert watch.changed(1)
            loader.load()
            assert loader.text == whole.encode()
        assert not watch.changed(0.2)


def test_a_file_that_is_written_again_at_once_is_not_read_half(watch: Watch, path: Path) -> None:
    path.write_text(OTHER)
    with path.open("w") as writer:
        writer.write(TEXT[:30])
        writer.flush()
        assert not watch.changed(0.3)
        writer.write(TEXT[30:] + "# more\n")

    assert watch.changed(1)
    assert watch.read() == f"{TEXT}# more\n".encode()


def test_what_is_read_is_what_was_whole_when_it_changed(watch: Watch, path: Path) -> None:
    path.write_text(OTHER)
    assert watch.changed(1)
    with path.open("w") as writer:
        writer.write(TEXT[:30])
        writer.flush()

        assert watch.read() == OTHER.encode()
        assert not watch.changed(0.2)
        writer.write(TEXT[30:])

    assert watch.changed(1)
    assert watch.read() == TEXT.encode()


def test_a_file_that_is_replaced_while_somebody_writes_the_old_one(watch: Watch, path: Path) -> None:
    with path.open("a") as writer:
        writer.write("#")
        writer.flush()
        path.with_name("new").write_text(OTHER)
        path.with_name("new").rename(path)
        writer.write("#")
        writer.flush()

        assert watch.changed(1)
        assert watch.read() == OTHER.encode()


def test_what_was_read_is_no_change(path: Path) -> None:
    with Watch(path) as watch:
        path.write_text(path.read_text() + "# more\n")
        Loader(path, watch).load()

        assert not watch.changed(0.2)


def test_many_changes_at_once_are_one(watch: Watch, path: Path) -> None:
    for i in range(100):
        path.write_text(TEXT.replace("201", str(100 + i)))

    assert watch.changed(5)
    assert not watch.changed(0.2)


def test_removal_and_return_are_changes(watch: Watch, path: Path) -> None:
    path.unlink()
    assert watch.changed(5)
    path.write_text(TEXT)
    assert watch.changed(5)


def test_a_directory_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "overlay.yaml"
    with Watch(path) as watch:
        path.parent.mkdir(parents=True)
        assert not watch.changed(0.2)
        path.write_text(TEXT)
        assert watch.changed(5)


def test_the_way_a_configmap_changes(tmp_path: Path) -> None:
    """overlay.yaml -> ..data/overlay.yaml, ..data -> ..1; then ..data is moved to ..2, and ..1 goes."""
    for name, text in (("..1", TEXT), ("..2", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "overlay.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "overlay.yaml"
    path.symlink_to("..data/overlay.yaml")
    with Watch(path) as watch:
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        assert watch.changed(5)
        (tmp_path / "..1" / "overlay.yaml").unlink()
        (tmp_path / "..1").rmdir()
        assert not watch.changed(0.2)
        (tmp_path / "..2" / "overlay.yaml").write_text(TEXT)
        assert watch.changed(5)


def test_a_link_to_a_file_elsewhere(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    with Watch(link) as watch:
        replace(path)
        assert watch.changed(5)
        link.unlink()
        assert watch.changed(5)


def test_it_sleeps_in_select_and_not_in_a_poll(watch: Watch, path: Path) -> None:
    timer = threading.Timer(1, path.write_text, [OTHER])
    timer.start()
    began = time.process_time()

    assert watch.changed(None)
    assert time.process_time() - began < 0.2
    timer.join()


def test_under_eventlet_others_run_while_it_waits(path: Path) -> None:
    code = f"""if True:
        import eventlet
        eventlet.monkey_patch()
        from sdnapp.config_file import Watch
        ticks = []
        def tick():
            for i in range(5):
                ticks.append(i)
                eventlet.sleep(0.02)
            open({str(path)!r}, "w").write("changed")
        watch = Watch({str(path)!r})
        eventlet.spawn(tick)
        print(watch.changed(5), ticks)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout == "True [0, 1, 2, 3, 4]\n"
