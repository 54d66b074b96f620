"""The names of the files in the folder of a dissection. Needs no torch."""

RESULT, PARTS = "dissection.json", "parts.jsonl"
SWEEPS = ".sweeps"  # what is measured of a part that is not finished
