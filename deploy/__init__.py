"""How it ships: packed model, kernels, runtime, exporters."""
