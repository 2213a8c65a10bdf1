// The kernels in plain C++, for machines without a better instruction set.
#include <stddef.h>

#include "isa.h"
#include "real.h"

namespace {
#include "vectors_portable.h"
#include "epilogue.h"
#include "kernels.h"

constexpr int REAL_BLOCKS = 1, REAL_PIXELS = 2;
// Sums in vectors that every machine has: arrays in a struct would stay in memory.
typedef float Lanes __attribute__((vector_size(16)));
struct Sums {
    Lanes part[4];
};
inline Sums load_sums(const float *p) {
    Sums sums;
    __builtin_memcpy(&sums, p, sizeof sums);
    return sums;
}
inline Sums multiply_add(float x, const Sums &filter, const Sums &sum) {
    return {{filter.part[0] * x + sum.part[0], filter.part[1] * x + sum.part[1],
             filter.part[2] * x + sum.part[2], filter.part[3] * x + sum.part[3]}};
}
inline Floats floats_of(const Sums &sums) {
    Floats floats;
    __builtin_memcpy(&floats, &sums, sizeof floats);
    return floats;
}
#include "real_kernels.h"
}  // namespace

namespace evobit {
const Isa portable_isa = {pack_rows, conv_units, nullptr, peak_loop, 40.0};
const RealIsa portable_real = {real_pixels, pool_rows, moment_columns, 8.0};
}
