"""Events, the evaluation task, and the metrics (`table` lists them).

Values are those of the packages sed_eval, psds_eval and sed_scores_eval. Bootstrap intervals are recomputed from what
each clip adds to the counts behind these values.
"""
