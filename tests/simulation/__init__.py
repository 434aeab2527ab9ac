"""A world of collectors, a broker and a warehouse, run step by step as a schedule says: see docs/exactly-once.md."""
