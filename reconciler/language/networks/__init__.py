"""Level two of the language: networks, sandboxes and endpoints, as in Docker's container network model."""
