"""Events, the evaluation task, and the metrics (`table` lists them).

Counts equal those of the packages sed_eval, psds_eval and sed_scores_eval; the kinds of errors in `error_kinds` are in
none of them.
Bootstrap intervals are recomputed from what each clip adds to the counts.
"""
