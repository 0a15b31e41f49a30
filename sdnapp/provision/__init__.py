"""Make a host what the overlay says it is: bridges, tunnel ports, namespaces, veths, addresses.

``desired`` says what should be, ``kernel`` and ``ovsdb`` what is, ``plan`` the way from one to the other, all
in the values of ``world``; ``converge`` goes that way and ``agent`` does so whenever something changes.
Nothing is remembered between runs but the marks of ownership on the things themselves.
"""
