"""The state that a run starts from: fresh, warm or resumed."""
