"""From a set on disk to the batches of a run: which posters, at which size, encoded once, in which order."""
