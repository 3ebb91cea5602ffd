"""How sure a statement about few seeds is: proportions, paired seeds, time to failure, spread. Numpy and scipy only."""
