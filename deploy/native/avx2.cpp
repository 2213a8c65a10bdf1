// The kernels on AVX2: popcounts by a table of half bytes.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.h"
#include "real.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace {
#include "vectors_avx2.h"
#include "epilogue.h"
#include "kernels.h"

constexpr int REAL_BLOCKS = 1, REAL_PIXELS = 6;
using Sums = Floats;
inline Sums load_sums(const float *p) { return load(p, 16); }
inline Sums multiply_add(float x, Sums filter, Sums sum) { return fused(broadcast(x), filter, sum); }
inline Floats floats_of(Sums sums) { return sums; }
#include "real_kernels.h"
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace evobit {
const Isa avx2_isa = {pack_rows, conv_units, nullptr, peak_loop, 300.0};
const RealIsa avx2_real = {real_pixels, pool_rows, moment_columns, 30.0};
}
#endif
