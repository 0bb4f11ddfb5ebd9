"""How data sets are made: the engine, filters, the six tasks, preferences, reflections."""
