"""Critics: what is wrong with a poster, in words, by rules or by a vision-language model."""

from posterkit.critic.critic import BLIND, RULES, Critic, Suggestions, open_critic

__all__ = ["BLIND", "RULES", "Critic", "Suggestions", "open_critic"]
