"""A gate for words on their way to a poster: detectors of harm, rewriters, policies; provenance of outputs."""
