"""Pictures of posteriors, predictions and evaluations: one module a plot, each function returns a matplotlib Figure."""
