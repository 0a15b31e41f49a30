"""REST: what the controller knows, over HTTP. It reads and never writes."""
