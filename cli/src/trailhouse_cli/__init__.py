"""The command trailhouse."""
