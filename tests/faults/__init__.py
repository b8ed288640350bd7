"""Faults made for real: what clients see while something breaks."""
