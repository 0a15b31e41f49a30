"""REST API of the controller: read-only, except for unfreezing a MAC and releasing a port."""
