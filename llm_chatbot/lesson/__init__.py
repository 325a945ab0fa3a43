"""What the tutorial's cells draw and measure with: tokens, probabilities, cache, bits, bandwidth, devices.

It uses the engine and the evaluation, and nothing else of the project uses it.
"""
