"""The widgets of the category Image Mining."""

import os
import sysconfig

NAME = "Image Mining"
DESCRIPTION = "Embed, view, cluster and classify images."
ICON = "icons/Category-ImageMining.svg"
BACKGROUND = "#BFE3D3"
PRIORITY = 1010

# where Orange looks for the pages of the widgets' help buttons: those of a checkout,
# then those that were installed
WIDGET_HELP_PATH = (
    ("{DEVELOP_ROOT}/doc/_build/html/index.html", None),
    (
        os.path.join(
            sysconfig.get_path("data"),
            "share/help/en/orange3-imagemining/index.html",
        ),
        None,
    ),
)
