"""Real servers for tests, the demo and development: found where they run, or started from what this machine has."""
