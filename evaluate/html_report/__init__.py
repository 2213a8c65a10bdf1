"""One page about a run: facts out of run folders, plots out of facts, HTML out of both."""
