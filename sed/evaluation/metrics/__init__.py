"""Events, the evaluation task, and the metrics (`table` lists them).

Values are those of sed_eval, psds_eval and sed_scores_eval; the same counts for each clip give bootstrap intervals.
"""
