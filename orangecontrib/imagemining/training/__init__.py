"""Train networks on labelled images: plans, recipes, batches, the loop, what it saw.

Knows images, networks and weights; knows neither Qt nor Orange nor embedders. Torch is
imported by the modules that compute, not here.
"""
