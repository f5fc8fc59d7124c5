"""Level two of the language: networks, sandboxes and endpoints, as Docker's container network model has them."""
