"""Training images that are partly erased, or mixed with others of their batch."""
