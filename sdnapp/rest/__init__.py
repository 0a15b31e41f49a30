"""REST: what the controller knows, over HTTP. It changes nothing but to thaw a MAC or release a port."""
