"""What a network is: spaces, choices, specs, costs, binary layers, blocks, shared weights."""
