"""A network while it is compressed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from orangecontrib.imagemining.compression.forms import Form
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.compressed_file import compressed_size
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = ["Working", "is_weighted"]


def is_weighted(module: nn.Module) -> bool:
    """Tell whether a module is a convolution or a fully connected layer."""
    return isinstance(module, (nn.Conv2d, nn.Linear))


class Working:
    """A network as torch computes it, with forms on its weights.

    Steps change it in place. Layers are told by the names of their modules, such as
    ``features.0``; only convolutions and fully connected layers can have forms.

    Parameters
    ----------
    given
        The network as it was; left as it is.

    Attributes
    ----------
    given : see there.
    card : what holds for the network now: steps that change its shape change options.
    network : torch's, on the processor, in evaluation mode between steps.
    """

    def __init__(self, given: ImageNetwork) -> None:
        self.given = given
        self.card: NetworkCard = given.card
        self.network: Network = self._ready(rebuilt(given))

    @staticmethod
    def _ready(network: Network) -> Network:
        for module in network.modules():
            if is_weighted(module) and module.weight.ndim == 4:
                weight: Any = module.weight
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return network.eval()

    def rebuild(self, changed: ImageNetwork) -> None:
        """Go on with a network of another shape; forms are lost with the old one."""
        self.card = changed.card
        self.network = self._ready(rebuilt(changed))

    def copy(self) -> Working:
        """Return another one that can be changed by itself."""
        other = copy.copy(self)
        other.network = copy.deepcopy(self.network)
        for module in other.network.modules():
            if parametrize.is_parametrized(module):
                # torch's copies share the class that has the property "weight", and
                # lose it when it is removed from one of them
                own = type(module)
                rest = {
                    name: value
                    for name, value in vars(own).items()
                    if name not in ("__dict__", "__weakref__")
                }
                module.__class__ = type(own.__name__, own.__bases__, rest)
        return other

    @property
    def layers(self) -> dict[str, nn.Module]:
        """Convolutions and fully connected layers by name, in the network's order."""
        return {
            name: module
            for name, module in self.network.named_modules()
            if is_weighted(module)
        }

    def weight(self, layer: str) -> Tensor:
        """Return a layer's weights as they are computed with, not for training."""
        with torch.no_grad():
            weight: Tensor = self.layers[layer].weight  # type: ignore[assignment]
            return weight.detach()

    def form(self, layer: str) -> Form | None:
        """Return how a layer's weights are held; None: as plain numbers."""
        module = self.layers[layer]
        if not parametrize.is_parametrized(module, "weight"):
            return None
        forms: Any = module.parametrizations
        form: Form = forms.weight[0]
        return form

    def set_form(self, layer: str, form: Form | None) -> None:
        """Hold a layer's weights otherwise; its form before is ended."""
        module = self.layers[layer]
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
        if form is not None:
            parametrize.register_parametrization(module, "weight", form, unsafe=True)

    def mask(self, layer: str) -> Tensor | None:
        """Return what of a layer's weights is not pruned; None: all."""
        form = self.form(layer)
        return None if form is None else form.mask

    @property
    def forms(self) -> dict[str, Form]:
        """Forms by layer, of layers that have one."""
        found = {name: self.form(name) for name in self.layers}
        return {name: form for name, form in found.items() if form is not None}

    def image_network(
        self, stored: Mapping[str, NDArray[Any]] | None = None, **card: Any
    ) -> ImageNetwork:
        """Return the network as others take it, with how its weights can be kept.

        Parameters
        ----------
        stored
            How more tensors are kept, by name.
        card
            Fields of the card that are to be others.
        """
        tensors, kept = {}, dict[str, Coded | NDArray[Any]](stored or {})
        forms = self.forms
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                layer, _, rest = name.partition(".parametrizations.")
                if not rest:
                    tensors[name] = value.detach().cpu().contiguous().numpy().copy()
                elif layer in forms and f"{layer}.weight" not in tensors:
                    original: Any = self.layers[layer].parametrizations
                    how = forms[layer].stored(original.weight.original)
                    weight = self.weight(layer).cpu().contiguous().numpy().copy()
                    if isinstance(how, Coded):
                        weight, kept[f"{layer}.weight"] = how.decoded, how
                    elif how is not None:
                        weight = how.astype("float32")
                        kept[f"{layer}.weight"] = how
                    tensors[f"{layer}.weight"] = weight
        return ImageNetwork(replace(self.card, **card), tensors, kept)

    @property
    def n_bytes(self) -> int:
        """Size of the network's file as it would be written now."""
        return packed_size(self.image_network())


def packed_size(network: ImageNetwork) -> int:
    """Return how many bytes a network's compressed file has, really coded."""
    return compressed_size(network)
