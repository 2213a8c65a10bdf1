// The kernels on AVX2: popcounts by a table of half bytes.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.h"

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
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace evobit {
const Isa avx2_isa = {pack_rows, conv_units, nullptr, peak_loop, 300.0};
}
#endif
