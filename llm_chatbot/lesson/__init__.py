"""Draws and measures for the tutorial's cells: tokens, probabilities, cache, bits, bandwidth, devices.

It uses the engine and the evaluation, and nothing else of the project uses it.
"""
