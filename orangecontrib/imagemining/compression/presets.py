"""Pipelines for people to choose, with what to expect of them. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orangecontrib.imagemining.compression.checks import needs_images
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Densify,
    FineTune,
    Half,
    Int8,
    LowBits,
    Prune,
    Share,
)

__all__ = ["DEFAULT_PRESET", "PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A pipeline with a name.

    Attributes
    ----------
    name : what people choose.
    about : what it does, in a sentence or two.
    advice : when to choose it, and where its numbers are from.
    plan : its steps and what is wanted of the whole.
    """

    name: str
    about: str
    advice: str
    plan: CompressionPlan

    @property
    def needs_images(self) -> bool:
        """Whether it cannot be done without images."""
        return any(needs_images(step) for step in self.plan.steps)


def _deep(bits: int) -> CompressionPlan:
    return CompressionPlan(
        steps=(
            Prune(share=0.67, by="sensitivity", rounds=3, epochs=2),
            FineTune(epochs=2),
            Share(bits=bits, linear_bits=8, epochs=2),
        )
    )


_PRESETS = (
    Preset(
        "Deep Compression, 8 bit",
        "Weights that matter least become 0, of each layer as many as it can do without"
        " (two thirds at most), and the rest is fine-tuned; then the weights of a layer"
        " share 256 values, which are fine-tuned too; then all is coded.",
        "The one to begin with. As SqueezeNet's section 4, Table 2 (0.66 MB; Iandola et"
        " al. 2016), by Han et al. 2015 and 2016. The layers' shares of zeros are"
        " measured here, where the paper's were chosen by hand.",
        _deep(8),
    ),
    Preset(
        "Deep Compression, 6 bit",
        "As Deep Compression, 8 bit, with 64 values for the weights of a convolution.",
        "Smaller by about a quarter, and a little less accurate. As the 0.47 MB of"
        " SqueezeNet's Table 2, with the 6 bits of its Table 1.",
        _deep(6),
    ),
    Preset(
        "Smallest",
        "Prunes more and more, then shares fewer and fewer values, fine-tuning all the"
        " time, until the accuracy that may be lost is used up.",
        "For who has time: it trains ten times or more. What costs too much is taken"
        " back, and the next thing is tried.",
        CompressionPlan(
            steps=(
                Prune(share=0.5, by="global", rounds=1, epochs=2),
                Prune(share=0.7, by="global", rounds=1, epochs=2),
                Prune(share=0.8, by="global", rounds=1, epochs=3),
                Prune(share=0.88, by="global", rounds=1, epochs=3),
                Prune(share=0.93, by="global", rounds=1, epochs=3),
                Share(bits=6, linear_bits=6, epochs=1),
                Share(bits=5, linear_bits=5, epochs=2),
                Share(bits=4, linear_bits=4, epochs=2),
                Share(bits=3, linear_bits=3, epochs=2),
            )
        ),
    ),
    Preset(
        "Int8",
        "Weights and activations become whole numbers of 8 bits, with which ONNX"
        " Runtime computes; a few hundred images are looked at for their ranges.",
        "To be fast rather than small: a quarter of the size, and quicker on processors"
        " that multiply 8-bit numbers. Nothing is trained. May lose 1 point, as in"
        " SqueezeNet's section 4 (Gysel 2016).",
        CompressionPlan(steps=(Int8(epochs=0),), tolerance=0.01),
    ),
    Preset(
        "Ternary with teacher",
        "Weights of three values a filter, −s, 0 and s, trained from those they had"
        " under the eyes of the network as it was; those of the first and of the last"
        " layer share 256 values.",
        "For lectures, and for large networks with many images: small networks lose"
        " several points. Scheme C of Apprentice (Mishra and Marr 2017)."
        " What was lost is shown, and taken as it is.",
        CompressionPlan(
            steps=(
                LowBits(bits=2, activations=32, scheme="C", epochs=10),
                Share(bits=8, epochs=0),
            ),
            tolerance=None,
        ),
    ),
    Preset(
        "Half precision",
        "Weights become floating-point numbers of 16 bits.",
        "Half the size at once, and next to nothing lost. Needs no images; with some,"
        " what it costs is measured.",
        CompressionPlan(steps=(Half(),)),
    ),
    Preset(
        "Dense–sparse–dense",
        "Half of the weights become 0, the rest is trained, then all are trained again:"
        " a way to train better. The network does not become smaller.",
        "As SqueezeNet's authors gained 4.3 points (section 7 of the paper; Han et al."
        " 2016, DSD).",
        CompressionPlan(
            steps=(
                Prune(share=0.5, by="layer", rounds=1, epochs=4),
                Densify(epochs=4),
            ),
            tolerance=None,
        ),
    ),
    Preset(
        "Coding only",
        "The weights of a layer share 256 values, and all is coded; nothing is"
        " trained.",
        "Takes seconds, and needs no images: a fifth to a quarter of the size for a"
        " small loss.",
        CompressionPlan(steps=(Share(bits=8, epochs=0),), tolerance=None),
    ),
)

#: Presets by their names, in the order in which they are offered.
PRESETS: Mapping[str, Preset] = MappingProxyType({each.name: each for each in _PRESETS})

#: The one to begin with.
DEFAULT_PRESET = _PRESETS[0].name
