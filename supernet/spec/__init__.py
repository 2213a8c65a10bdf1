"""What a network is, as plain data: ordered blocks with shapes, groups, bits and strides.

Every reader works from these: costs, the torch module, the supernet, the packed model. A network
is a chain of blocks; a block takes one tensor and gives one (bottlenecks pass on two). `layers()`
lists what a block contains in the order of execution, so that costs need not know the kinds of
block. `layers` are the layers' specs; blocks are in `units` (binary units and their pairs),
`quantised`, `plain`, `shuffle` and `chain`, a user's own subclasses the one in `own`, and `network`
joins them all; `building` is what the builders of networks share.
"""

from supernet.spec.chain import ClippedConvSpec as ClippedConvSpec
from supernet.spec.chain import ConvChainSpec as ConvChainSpec
from supernet.spec.chain import InvertedResidualSpec as InvertedResidualSpec
from supernet.spec.chain import ResidualBottleneckSpec as ResidualBottleneckSpec
from supernet.spec.chain import SeparableSpec as SeparableSpec
from supernet.spec.layers import Activation as Activation
from supernet.spec.layers import ActivationSpec as ActivationSpec
from supernet.spec.layers import ClipSpec as ClipSpec
from supernet.spec.layers import ConvSpec as ConvSpec
from supernet.spec.layers import LayerSpec as LayerSpec
from supernet.spec.layers import LinearSpec as LinearSpec
from supernet.spec.layers import NormSpec as NormSpec
from supernet.spec.layers import ShiftSpec as ShiftSpec
from supernet.spec.network import BlockSpec as BlockSpec
from supernet.spec.network import HeadSpec as HeadSpec
from supernet.spec.network import NetworkSpec as NetworkSpec
from supernet.spec.network import StemSpec as StemSpec
from supernet.spec.own import OwnBlockSpec as OwnBlockSpec
from supernet.spec.plain import BinaryLayerSpec as BinaryLayerSpec
from supernet.spec.plain import LogitsSpec as LogitsSpec
from supernet.spec.plain import PoolSpec as PoolSpec
from supernet.spec.quantised import QuantisedUnitSpec as QuantisedUnitSpec
from supernet.spec.shuffle import ShuffleBlockSpec as ShuffleBlockSpec
from supernet.spec.units import BinaryUnitSpec as BinaryUnitSpec
from supernet.spec.units import BottleneckSpec as BottleneckSpec
from supernet.spec.units import RealDoublingSpec as RealDoublingSpec
from supernet.spec.units import Shortcut as Shortcut
