"""Log runs, metrics, data, models and resources of machine-learning training, without getting in its way."""
