"""Judges: who reads and judges text and pictures; rules, an endpoint or a local model behind one interface."""
