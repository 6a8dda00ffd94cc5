"""Training as pure functions: state, steps, optimisers. No files, no configs."""
