"""netrecon: declarative network topologies for Linux."""

__version__ = "0.1.0"
