"""How weights are learned: data, augmentations, losses, loops, scoring, run folders."""
