"""``python -m sdnapp``: the ``sdnapp`` command."""

from sdnapp.cli.main import main

if __name__ == "__main__":
    main(prog_name="python -m sdnapp")
