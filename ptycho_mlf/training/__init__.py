"""From a scan and a generator to trained weights: data module, optimizers, schedules, clipping, Lightning module."""
