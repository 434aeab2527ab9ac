"""The demo: a real distributed training job, from its first log call to the reports about it."""
