"""Train networks on labelled images: plans, recipes, batches, the loop, what it saw.

`plan` holds all that decides about a training, `recipes` the papers' numbers, `data`
and `batches` the images, `trainer` the loop, `task` what is learned, `callbacks` what
happens beside it, `checkpoint` how it is continued, `history` and `results` what comes
of it; `head` trains a classifier alone.

Knows images, networks and weights; knows neither Qt nor Orange nor embedders. Torch is
imported by the modules that compute, not here, nor by those that widgets need: `plan`,
`recipes`, `designs`, `inputs`, `schedules`, `history`, `running` and `callbacks`.
"""
