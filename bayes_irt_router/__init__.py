"""Route each prompt to the right LLM with a Bayesian item response model that knows how sure it is."""
