"""The training core: typed configs, one loop, exact resume, adapters, losses."""
