"""Rewards by rules, without a model."""
