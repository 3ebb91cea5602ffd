"""The report of a study: runs in, one HTML page and one Markdown summary out."""
