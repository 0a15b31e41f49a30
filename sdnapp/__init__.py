"""sdnapp: multi-tenant layer-2 overlays on plain Open vSwitch, from one YAML file."""
