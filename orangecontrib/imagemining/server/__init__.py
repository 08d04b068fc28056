"""An embedding server: images in by HTTP, vectors out. Knows neither Qt nor Orange.

`command` starts it, `serving` runs uvicorn, `app` has the routes, `guard` stands before
them all, `works` embeds, `catalogue` knows the networks. Needs the extra ``[server]``.
"""
