"""Single neurons in stacks of light microscopy, learned from a few traced ones."""
