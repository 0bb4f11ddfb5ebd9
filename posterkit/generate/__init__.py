"""A request becomes a finished poster: plan, draw, enlarge, typeset, choose, refine, record."""
