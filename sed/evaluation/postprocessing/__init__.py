"""Steps between posteriors and decisions: filters, bounding boxes, their options and their tuning."""
