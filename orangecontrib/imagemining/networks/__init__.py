"""The networks, a file a family, found by name in one registry. Needs torch alone."""

# importing a family registers its networks
from orangecontrib.imagemining.networks import squeezenet as squeezenet
from orangecontrib.imagemining.networks import toy as toy
from orangecontrib.imagemining.networks._base import Network as Network
from orangecontrib.imagemining.networks._registry import (
    create_network as create_network,
)
from orangecontrib.imagemining.networks._registry import network_names as network_names
from orangecontrib.imagemining.networks._registry import (
    register_network as register_network,
)
