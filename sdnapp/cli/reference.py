"""``python -m sdnapp.cli.reference FILE``: renew the configuration reference in a Markdown file."""

from __future__ import annotations

import sys
from pathlib import Path

from sdnapp.config.reference import updated

if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
