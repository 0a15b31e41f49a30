"""``osken-manager``: starts os-ken and the applications named on its command line.

os-ken 4 no longer ships it. Same positional applications and options as ever, and some for
``sdnapp.overlay``: ``--overlay-config``, ``--state-dir``, ``--log-format``. The hub is eventlet unless
OSKEN_HUB_TYPE says ``native``.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

if os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet") not in {
    "eventlet",
    "native",
}:  # os_ken.lib.hub reads it
    print("osken-manager: OSKEN_HUB_TYPE is eventlet or native", file=sys.stderr)
    sys.exit(2)
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")  # 15 MB for a resolver that nothing here asks
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")  # os-ken's hub, not ours to choose

from os_ken.lib import hub

hub.patch(thread=False)  # all but threads; with thread=True os-ken would patch nothing else

from os_ken import cfg
from os_ken.base.app_manager import AppManager

from sdnapp.config import Invalid
from sdnapp.log import Limiter, event, to_stderr
from sdnapp.shipped import examples
from sdnapp.tls import Unusable

LOG = logging.getLogger("sdnapp")
CONF = cfg.CONF
OVERLAY = "sdnapp.overlay"

CONF.register_cli_opts(
    [
        cfg.MultiStrOpt("app", positional=True, default=[], help="application module to run"),
        cfg.BoolOpt("verbose", default=False, help="show debug output"),
        cfg.StrOpt("log-format", default="text", choices=["text", "json"], help="one line an event, as"),
        cfg.StrOpt("pid-file", default=None, help="write the process id here"),
        cfg.StrOpt("overlay-config", default=None, help="the overlay's file (sdnapp.overlay)"),
        cfg.BoolOpt(
            "rest-open",
            default=False,
            help="answer REST by http and to anyone, whatever the file says: for labs (sdnapp.overlay)",
        ),
        cfg.StrOpt(
            "tls-dir",
            default=None,
            help="where the controller's key and certificates are, instead of where the file says "
            "(sdnapp.overlay)",
        ),
        cfg.StrOpt(
            "state-dir",
            default=os.environ.get("STATE_DIRECTORY", "").split(":")[0] or None,  # systemd.exec(5)
            help="keep the overlay that is in force here, for the next start (sdnapp.overlay)",
        ),
    ]
)

PLACE = Path("/etc/sdnapp/overlay.yaml")
"""Where the overlay's file is if neither the command line nor SDNAPP_CONFIG says. Without it: the example."""


def main(args: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT. Exit 2 if the command line, the file or a port does not let us start."""
    CONF(args=args, project="osken", prog="osken-manager", version=version("sdnapp"), default_config_files=[])
    limiter = Limiter()
    to_stderr(CONF.log_format, verbose=CONF.verbose, limiter=limiter)
    path, why = overlay_config(CONF.overlay_config, os.environ.get("SDNAPP_CONFIG"))
    if OVERLAY in CONF.app:
        event(LOG, "config.file", path=path, chosen_by=why)
    CONF.set_override("overlay_config", str(path))
    reader, writer = _signal_pipe()
    try:
        services = _start(CONF.app or ["os_ken.controller.ofp_handler"])
    except Invalid as invalid:
        _fail("\n".join(map(str, invalid.problems)))
    except (ImportError, OSError, Unusable) as error:
        _fail(str(error))
    # What is loaded by now stays: full collections, in which every switch waits, need not look at it. And
    # programs are many small values without cycles: to look for cycles less often saves a third of the work.
    # A look at the newest 5,000 takes some 2 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 400, 100)
    hub.spawn(_outlive, services, writer)
    hub.spawn(_tell_suppressed, limiter)
    if CONF.pid_file:
        draft = Path(f"{CONF.pid_file}.new")  # a program that waits for the file finds a number in it
        draft.write_text(f"{os.getpid()}\n", encoding="ascii")
        draft.replace(CONF.pid_file)
    ended_by = _serve(reader)
    if CONF.pid_file:
        Path(CONF.pid_file).unlink(missing_ok=True)
    limiter.tell(ending=True)
    event(LOG, "controller.stopped", reason=ended_by.name if ended_by else "the OpenFlow server ended")
    logging.shutdown()
    os._exit(0 if ended_by else 1)  # nothing of ours is left to be saved; native threads cannot be ended


def _signal_pipe() -> tuple[int, int]:
    """A pipe that carries the number of every signal for us: the one way that suits both hubs."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader, writer


def _serve(reader: int) -> signal.Signals | None:
    """Wait for the signal that ends us; None if there is nothing left to serve."""
    while True:
        select.select([reader], [], [])
        numbers = os.read(reader, 65536)  # many a SIGHUP at once is one
        for number in numbers:
            if number != signal.SIGHUP:
                return signal.Signals(number) if number else None
        for app in AppManager.get_instance().applications.values():
            getattr(app, "reload", lambda: None)()


def overlay_config(option: str | None, environment: str | None) -> tuple[Path, str]:
    """The overlay's file, and who chose it."""
    if option:
        return Path(option), "--overlay-config"
    if environment:
        return Path(environment), "SDNAPP_CONFIG"
    return PLACE if PLACE.exists() else examples()["two-hosts"], "default"


def _start(apps: list[str]) -> list[Any]:
    """Load and start the applications; the hub threads that serve until the end."""
    manager = AppManager.get_instance()
    manager.load_apps(apps)
    services: list[Any] = manager.instantiate_apps(**manager.create_contexts())
    return services


def _outlive(services: list[Any], writer: int) -> None:
    """Without its OpenFlow server the process is of no use: end it, so that its supervisor can tell."""
    hub.joinall(services)
    os.write(writer, b"\0")


def _tell_suppressed(limiter: Limiter) -> None:
    """Have the log say once a second which lines it held back."""
    while True:
        hub.sleep(1)
        limiter.tell()


def _fail(reason: str) -> NoReturn:
    print(f"osken-manager: {reason}", file=sys.stderr, flush=True)
    os._exit(2)  # whatever started already does not keep us


if __name__ == "__main__":
    main()
