"""Binary layers, one file a layer; each states its forward and its gradient formula."""
