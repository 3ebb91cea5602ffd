"""Where training starts to crash: P(crash) against the learning rate, which rate to try next, when to stop."""
