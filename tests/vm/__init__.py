"""Tests in virtual machines: Debian, its kernel's datapath, systemd, the package. ``sudo ./run vm``."""
