"""Every value of a plan, by the reference."""

import numpy as np

from deploy.engine.reference import ReferenceProgram
from deploy.kernels.shapes import Floats
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import Plan
from deploy.plan.preprocessing import Preprocessing


def reference_values(plan: Plan, parameters: Parameters, x: Floats) -> list[Floats]:
    """Every value (N, H, W, C), the input's first, of normalised images (N, C, S, S), fp32.

    Raises:
        UserError: the parameters do not fit the plan, or a value is not finite.
    """
    channels = plan.channels
    identity = Preprocessing((0.0,) * channels, (1.0,) * channels)
    own = operation_parameters(plan, parameters)
    program = ReferenceProgram(plan, own, identity, max(1, len(x)))
    program.run(np.asarray(x, np.float32))
    return program.values(len(x))
