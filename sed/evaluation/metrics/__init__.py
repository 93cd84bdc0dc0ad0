"""Events, the evaluation task, and the metrics (`table` lists them).

Counts are those of the packages sed_eval, psds_eval and sed_scores_eval, except for kinds of errors, which these lack.
Bootstrap intervals are recomputed from what each clip adds to the counts.
"""
