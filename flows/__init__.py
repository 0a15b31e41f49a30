"""One bridge: what it should see (a view), what it must hold (a program), and what is missing (a plan).

Pure and self-contained: the standard library only. Nothing here has heard of os-ken, of YAML, or of hosts
elsewhere beyond "this peer, behind that tunnel port". Start with ``tables.py`` and ``features/``.
"""
