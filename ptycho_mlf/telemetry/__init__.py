"""What is seen of a training: step trace, signals of collapse, verdict. Functions on tensors, traces and modules."""
