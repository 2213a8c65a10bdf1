"""Learning features without labels, before a network is trained with them."""
