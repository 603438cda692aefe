"""Does structural document memory help factual recall? Train, evaluate and rank document memories."""

__version__ = "0.1.0"
