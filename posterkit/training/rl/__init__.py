"""Posters that a model draws while it learns: samplers, groups of a prompt, what they are worth."""
