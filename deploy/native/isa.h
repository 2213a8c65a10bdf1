// What every instruction set gives to the dispatcher.
#pragma once

#include "evobit.h"

namespace evobit {

struct Isa {
    // Rows [begin, end) of the batch's rows.
    void (*pack)(const evobit_pack &, int64_t begin, int64_t end);
    // Units [begin, end) of the batch's units, for one tile of output channels.
    void (*conv)(const evobit_conv &, const evobit_epilogue &, int32_t tile, int64_t begin,
                 int64_t end);
    void (*groups)(const evobit_conv &, const evobit_epilogue &, int32_t tile, int64_t begin,
                   int64_t end);
    int64_t (*peak)(int64_t iterations);
    double macs_per_ns;  // rough, to decide whether threads pay
};

extern const Isa portable_isa;
#if defined(__x86_64__)
extern const Isa avx2_isa;
extern const Isa avx512_isa;
void avx512_groups(const evobit_conv &, const evobit_epilogue &, int32_t tile, int64_t begin,
                   int64_t end);
#endif

}  // namespace evobit
