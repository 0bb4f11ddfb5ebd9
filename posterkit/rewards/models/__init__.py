"""Rewards by a model: CLIP-like, vision-language, learned."""
