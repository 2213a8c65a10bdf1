"""One page about a run: facts out of run folders, plots out of facts, HTML out of both.

`facts/` reads, `plots/` draws, `headline` and `sections` say it in words and tables, `page` puts it
together, as HTML by `markup`; `write` puts it on disk, as a page or as pictures.
"""
