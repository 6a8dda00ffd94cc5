"""Training: state, steps, what runs them on devices, and the loop around them."""
