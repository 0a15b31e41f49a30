"""What a bridge does, one feature in each file: its flows, table by table."""
