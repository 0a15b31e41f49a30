"""REST: what the controller knows, over HTTP. It changes nothing; thawing a MAC is all that it asks for."""
