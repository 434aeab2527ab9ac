"""Lands Trailhouse events from Kafka or spools in the warehouse, each exactly once."""
