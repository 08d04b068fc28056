"""The widgets of the category Image Mining."""

import sysconfig
from pathlib import Path

NAME = "Image Mining"
DESCRIPTION = "Embed, view, cluster and classify images."
ICON = "icons/Category-ImageMining.svg"
BACKGROUND = "#BFE3D3"
PRIORITY = 1010

# Where Orange looks for the pages of the widgets' help buttons, and for the links to
# them: in a checkout, then where they were installed. (Orange's own {DEVELOP_ROOT} is
# not known when it is started from within the checkout.)
_LINKS = ".//li/a"
_INSTALLED = "share/help/en/orange3-imagemining"
WIDGET_HELP_PATH = (
    (str(Path(__file__).parents[3] / "doc/_build/html/widgets-index.html"), _LINKS),
    *(
        (str(Path(folder, _INSTALLED, "widgets-index.html")), _LINKS)
        for folder in (
            sysconfig.get_path("data"),
            sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")),
        )
    ),
)
