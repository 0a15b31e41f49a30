"""OpenFlow 1.3 as Open vSwitch speaks it: values of ``flows`` to bytes, replies of a bridge to values."""
