"""Rewards by rule: one question about a poster each."""
