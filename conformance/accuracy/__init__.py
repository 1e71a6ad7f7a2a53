"""How far alt and stock CPU each are from the truth, in units in the last place."""
