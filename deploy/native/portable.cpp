// The kernels in plain C++, for machines without a better instruction set.
#include <stddef.h>

#include "isa.h"

namespace {
#include "vectors_portable.h"
#include "epilogue.h"
#include "kernels.h"
}  // namespace

namespace evobit {
const Isa portable_isa = {pack_rows, conv_units, nullptr, peak_loop, 40.0};
}
