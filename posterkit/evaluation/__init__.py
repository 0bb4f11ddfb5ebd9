"""Benchmarks of posters, and their statistics."""
