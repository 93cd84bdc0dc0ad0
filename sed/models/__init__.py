"""Models in pure torch: no files, no argument parsing, no logging.

Letters in parentheses, such as (P, L), are the sources of a value or a design: P the AST-SED paper, L its laboratory's
code, F FDY-SED, D the DCASE baseline, E pb_sed, C CP-JKU's system, S PretrainedSED, I inferred (egs/desed/README.md).
"""
