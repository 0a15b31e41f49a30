"""Faults in a seeded order on a real lab under counted streams, judged after every step."""
