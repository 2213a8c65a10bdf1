// Real-valued steps: what every instruction set gives, and what shares them out over threads.
#pragma once

#include "plan.h"

namespace evobit {

struct RealIsa {
    // Pixels [begin, end) of the batch's output pixels, for one tile of output channels.
    void (*conv)(const evobit_real_conv &, const evobit_epilogue &, int32_t tile, int64_t begin,
                 int64_t end);
    // Rows [begin, end) of the batch's output rows.
    void (*pool)(const evobit_pool &, int64_t begin, int64_t end);
    // Columns [begin, end), both multiples of 16 or the last column's end.
    void (*moments)(const evobit_moments &, int64_t begin, int64_t end);
    double macs_per_ns;  // rough, to decide whether threads pay
};

extern const RealIsa portable_real;
#if defined(__x86_64__)
extern const RealIsa avx2_real;
extern const RealIsa avx512_real;
#endif

// The first image that holds a NaN or an infinity, else `batch`.
int32_t run_input(const evobit_input &, int32_t batch, const void *images, bool is_uint8);
void run_moments(const evobit_moments &);
void run_pad(const evobit_pad &);
void run_pool(const evobit_pool &);
void run_real_conv(const evobit_real_conv &, const evobit_epilogue &);

}  // namespace evobit
