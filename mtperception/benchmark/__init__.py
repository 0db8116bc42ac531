"""How fast a model is on this machine, beside the same network as its authors' code runs it."""
