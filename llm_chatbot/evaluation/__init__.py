"""Measures the cost of compression: the size, speed and quality of a model's variants, measured side by side.

It opens folders with the engine, and knows nothing of how they were made or of the page.
"""
