"""Real hosts on one machine: each host of a file as a machine of its own, in namespaces."""
