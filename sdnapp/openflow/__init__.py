"""OpenFlow 1.3 with Open vSwitch's extensions: values of ``flows`` to bytes, replies to values."""
