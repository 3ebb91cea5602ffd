"""Numbers and figures from predicted object patches: stitching, alignment, metrics, Fourier ring correlation."""
