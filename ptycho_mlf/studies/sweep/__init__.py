"""Searches over settings: ranges from text, a conditional space, early ending, figures."""
