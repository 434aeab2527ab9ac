"""Answers over the Trailhouse warehouse: cost, permissions, drift, runs and the accounting of loss."""
