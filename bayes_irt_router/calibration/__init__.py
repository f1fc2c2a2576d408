"""A new or changed LLM: placed from few responses, asked what tells most, kept in the model, watched for drift."""
