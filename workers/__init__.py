"""The same analysis, spread over a Ray cluster."""
