"""Response data in the formats of other tools: one module a format, `catalogue.py` lists them."""
