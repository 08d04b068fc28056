"""The networks, a file a family, found by name in one registry. Needs torch alone."""

# importing a family registers its networks
from orangecontrib.imagemining.networks import alexnet as alexnet
from orangecontrib.imagemining.networks import inception_resnet as inception_resnet
from orangecontrib.imagemining.networks import inception_v3 as inception_v3
from orangecontrib.imagemining.networks import inception_v4 as inception_v4
from orangecontrib.imagemining.networks import resnet as resnet
from orangecontrib.imagemining.networks import squeezenet as squeezenet
from orangecontrib.imagemining.networks import toy as toy
from orangecontrib.imagemining.networks import vgg as vgg
from orangecontrib.imagemining.networks._base import Network as Network
from orangecontrib.imagemining.networks._base import grid_means as grid_means
from orangecontrib.imagemining.networks._base import pooled as pooled
from orangecontrib.imagemining.networks._meta import without_numbers as without_numbers
from orangecontrib.imagemining.networks._registry import (
    create_network as create_network,
)
from orangecontrib.imagemining.networks._registry import network_names as network_names
from orangecontrib.imagemining.networks._registry import (
    register_network as register_network,
)
from orangecontrib.imagemining.networks._reshaped import Factorised as Factorised
from orangecontrib.imagemining.networks._reshaped import (
    is_factorisable as is_factorisable,
)
from orangecontrib.imagemining.networks._reshaped import (
    reshaped_option as reshaped_option,
)
from orangecontrib.imagemining.plugins import load_plugins

load_plugins("networks")  # last: they need what is above
