"""Features of the data path, one in each file: what a bridge does, as flows of its tables."""
