"""Analytic costs of a network, counted from its spec, and limits on them.

`table` lists the costs, `count` counts them layer by layer, `limits` has one limit: whether it
holds, by how much it is broken, and how to say so.
"""

from supernet.costs.count import Costs as Costs
from supernet.costs.count import cost as cost
from supernet.costs.count import layer_cost as layer_cost
