"""How good it really is: retraining, test-split scores, baselines, ranking audit, report.

One folder for each word of the command line, with the same rooms (`config`, `plan`, `run`,
`report`): `finals/` find the best of a search's best and of hand-made designs, `retrain/` trains
finalists and baselines, `audit/` asks how well supernets rank, `estimate/` rehearses what --dry-run
tells, `shipping/` packs and exports what was trained, `html_report/` is the page about a run.
`score` is one network on the test split, which `test_split` opens once it is what it was;
`class_scores` are those of each class, `over_images` says how sure a difference of two networks is.
`lineage` are the runs that a run was built on, `work` what each of them cost.
"""

from __future__ import annotations

from supernet.lazy import keep_former_paths

keep_former_paths(
    {
        "evaluate.exact_signs": "evaluate.shipping.sign_export",
        "evaluate.exporting": "evaluate.shipping.exporting",
        "evaluate.packing": "evaluate.shipping.packing",
        "evaluate.report": "evaluate.retrain.report",
    }
)
