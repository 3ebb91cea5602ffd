"""What the final losses of trainings at many learning rates say about an arm. Numpy and scipy only."""
