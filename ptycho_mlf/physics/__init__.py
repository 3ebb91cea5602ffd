"""The physics of a ptychographic pattern: forward operator, losses, and what a constant object scores."""
