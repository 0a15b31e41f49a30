"""Lab: each host of a file in namespaces of this machine."""
