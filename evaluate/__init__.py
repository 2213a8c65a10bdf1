"""How good it really is: retraining, test-split scores, baselines, ranking audit, report."""
