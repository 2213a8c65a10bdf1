// The kernels on AVX-512 with VPOPCNTDQ: 16 counters of 32 bits in a register.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.h"
#include "real.h"

// GCC 12 warns of its own intrinsics: undefined lanes that a full mask overwrites.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")
#endif

namespace {
#include "vectors_avx512.h"
#include "epilogue.h"
#include "kernels.h"

constexpr int REAL_BLOCKS = 4, REAL_PIXELS = 6;
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
const Isa avx512_isa = {pack_rows, conv_units, avx512_groups, peak_loop, 1000.0};
const RealIsa avx512_real = {real_pixels, pool_rows, moment_columns, 60.0};
}
#endif
