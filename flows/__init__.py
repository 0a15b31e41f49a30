"""One bridge: its view (input), its program (flows and meters), its plan (what to add and delete).

Pure, with the standard library only: no os-ken, no YAML, no other host but as a peer behind a tunnel port.
Start with ``tables.py`` and ``features/``.
"""
