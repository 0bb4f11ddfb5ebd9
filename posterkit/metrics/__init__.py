"""Measures of posters: colour, fidelity, arrangement, text. Pure functions of numpy arrays; no torch."""
