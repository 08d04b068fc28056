"""Makes trained networks smaller and faster, and measures what it costs.

`plan` says what is done, as steps; `presets` has pipelines for people to choose;
`pipeline.compress` runs them. A network on its way is a `working.Working`, each way of
holding weights in few bits is one of `forms`, and each kind of step has a module.
"""
