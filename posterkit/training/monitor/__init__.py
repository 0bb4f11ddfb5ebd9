"""What a run shows of itself: its log and curves, sample sheets, model cards, and the dry run before it."""
