"""``./run fuzz``: send very many malformed messages to a controller, and tell how it took them."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """The exit code. What ``guided`` looks at is instrumented when it is imported, so nothing is before."""
    arguments = argparse.ArgumentParser(prog="./run fuzz", description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--runs", type=int, default=200_000, help="messages (200,000)")
    arguments.add_argument("--seed", type=int, default=1, help="the same messages from each (1)")
    arguments.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    wanted = arguments.parse_args()
    if wanted.guided:
        from tests.malformed import guided

        return guided.run(wanted.runs, wanted.seed)
    from tests.malformed import generated

    return generated.run(wanted.runs, wanted.seed)


if __name__ == "__main__":
    sys.exit(main())
