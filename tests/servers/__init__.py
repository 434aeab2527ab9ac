"""What the fixtures for real servers are made of."""
