"""A soak: collectors, broker and warehouse are killed at random moments, and in the end each event is counted."""
