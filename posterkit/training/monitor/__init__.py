"""Monitoring of a run: log and curves, sample sheets, model cards, and the dry run before it."""
