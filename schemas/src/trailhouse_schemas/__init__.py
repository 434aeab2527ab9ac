"""The contracts of Trailhouse: events, wire format, spool format and warehouse."""
