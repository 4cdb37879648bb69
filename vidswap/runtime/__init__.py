"""How a pipeline runs: the segment worker, the local executor over it, the journal. Knows no operator and no face."""
