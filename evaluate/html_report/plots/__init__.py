"""The page's plots as SVG, one file a subject; `all` says which of them a run has.

`candidates` are the points that the plots of a search share: marks, titles, and fewer points where
they would lie on one another.
"""
