"""One run, from config to record: composes data, training, evaluation and tracking."""
