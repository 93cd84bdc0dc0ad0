"""Events, the evaluation task, and the metrics: F1s and PSDS, by the metric packages and clip by clip."""
