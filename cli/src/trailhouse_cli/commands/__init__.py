"""The commands of `trailhouse`, one module each, with a click command named `command`. Loaded only when called."""
