// The C interface: chooses the instruction set and shares out the work.
#include "evobit.h"

#include <string.h>

#include <atomic>

#include "isa.h"
#include "pool.h"

namespace {

using evobit::Isa;

// What a thread must have to do, for waking it costs several microseconds: by this estimate
// convolutions of less than 30 us stay on one. Packing has no weights that each thread would load
// again, and comes just before or after a convolution, when the others are still awake.
constexpr double CONV_NS_PER_THREAD = 6000.0;
constexpr double PACK_NS_PER_THREAD = 2500.0;
constexpr double NS_PER_OUTPUT = 0.1;
constexpr int32_t TASKS_PER_THREAD = 16;  // so that none waits long for the last task

const Isa *isa_of(int32_t number) {
    switch (number) {
        case EVOBIT_PORTABLE:
            return &evobit::portable_isa;
#if defined(__x86_64__)
        case EVOBIT_AVX2:
            if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
                return &evobit::avx2_isa;
            }
            return nullptr;
        case EVOBIT_AVX512:
            if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512vpopcntdq")) {
                return &evobit::avx512_isa;
            }
            return nullptr;
#endif
        default:
            return nullptr;
    }
}

int32_t best_isa() {
    for (int32_t number = EVOBIT_NUM_ISAS - 1; number > 0; --number) {
        if (isa_of(number)) return number;
    }
    return EVOBIT_PORTABLE;
}

std::atomic<int32_t> selected{-1};

int32_t selected_isa() {
    if (selected.load() < 0) selected.store(best_isa());
    return selected.load();
}

// Zeros what the convolution will not write: the border, or all where it only adds bits.
void clear_bits(const evobit_epilogue &e, int32_t batch, bool whole) {
    const size_t padding = e.bits_padding, words = e.bits_words;
    const size_t row = (e.bits_width + 2 * padding) * words, side = padding * words;
    const size_t map = row * (e.bits_height + 2 * padding);
    if (whole) {
        memset(e.bits, 0, 4 * map * batch);
        return;
    }
    if (padding == 0) return;
    for (int32_t image = 0; image < batch; ++image) {
        uint32_t *bits = e.bits + image * map;
        memset(bits, 0, 4 * row * padding);
        for (int32_t y = 0; y < e.bits_height; ++y) {
            uint32_t *line = bits + (y + padding) * row;
            memset(line, 0, 4 * side);
            memset(line + row - side, 0, 4 * side);
        }
        memset(bits + (e.bits_height + padding) * row, 0, 4 * row * padding);
    }
}

struct ConvJob {
    const evobit_conv &conv;
    const evobit_epilogue &epilogue;
    void (*run)(const evobit_conv &, const evobit_epilogue &, int32_t, int64_t, int64_t);
    int32_t chunks;
    bool all_tiles;  // a task is a chunk of the map for all tiles, not for one

    void chunk(int32_t tile, int64_t i) const {
        const int64_t units = static_cast<int64_t>(conv.num_units) * conv.batch;
        const int64_t eights = (units + 7) / 8;  // whole kernel tiles in all chunks but the last
        const int64_t begin = 8 * (eights * i / chunks), end = 8 * (eights * (i + 1) / chunks);
        if (begin < end) run(conv, epilogue, tile, begin, end < units ? end : units);
    }
};

void conv_task(void *context, int32_t i) {
    const ConvJob &job = *static_cast<const ConvJob *>(context);
    // All tiles of a chunk before the next: a thread then has a part of the map, and the next
    // layer, which reads that part, finds it in the same cache.
    const int32_t tiles = job.conv.num_tiles;
    if (!job.all_tiles) return job.chunk(i % tiles, i / tiles);
    for (int32_t tile = 0; tile < tiles; ++tile) job.chunk(tile, i);
}

struct PackJob {
    const evobit_pack &pack;
    const Isa &isa;
    int32_t chunks;
};

void pack_task(void *context, int32_t i) {
    const PackJob &job = *static_cast<const PackJob *>(context);
    const int64_t rows = static_cast<int64_t>(job.pack.batch) * job.pack.height;
    job.isa.pack(job.pack, rows * i / job.chunks, rows * (i + 1) / job.chunks);
}

}  // namespace

int32_t evobit_version(void) { return EVOBIT_VERSION; }

int32_t evobit_available(void) {
    int32_t bits = 0;
    for (int32_t number = 0; number < EVOBIT_NUM_ISAS; ++number) {
        if (isa_of(number)) bits |= 1 << number;
    }
    return bits;
}

int32_t evobit_select(int32_t number) {
    if (!isa_of(number)) return -1;
    selected.store(number);
    return 0;
}

int32_t evobit_selected(void) { return selected_isa(); }

int32_t evobit_has_groups(void) {
#if defined(__x86_64__)
    return isa_of(selected_isa())->groups && __builtin_cpu_supports("avx512bitalg") &&
           __builtin_cpu_supports("gfni");
#else
    return 0;
#endif
}

void evobit_set_threads(int32_t threads) { evobit::set_threads(threads); }

int32_t evobit_threads(void) { return evobit::get_threads(); }

int32_t evobit_run_pack(const evobit_pack *pack) {
    const Isa &isa = *isa_of(selected_isa());
    const double values = static_cast<double>(pack->batch) * pack->height * pack->width *
                          pack->channels;
    const int32_t threads = evobit::threads_for(NS_PER_OUTPUT * values, PACK_NS_PER_THREAD);
    PackJob job{*pack, isa, threads == 1 ? 1 : 4 * threads};
    evobit::run_tasks(job.chunks, threads, pack_task, &job);
    return 0;
}

int32_t evobit_run_conv(const evobit_conv *conv, const evobit_epilogue *epilogue) {
    const Isa &isa = *isa_of(selected_isa());
    const bool groups = conv->kind == EVOBIT_GROUPS;
    if (groups && !evobit_has_groups()) return -1;
    // Bits of two tiles share no 16-bit half only where all tiles begin at one.
    const int32_t outputs_a_group = conv->lane_outputs;
    bool aligned = !groups || outputs_a_group == 8 || outputs_a_group % 16 == 0;
    for (int32_t i = 0; i < conv->num_tiles; ++i) {
        aligned = aligned && conv->tiles[i].channel % 16 == 0;
    }
    if (epilogue->bits) {
        clear_bits(*epilogue, conv->batch, !aligned || conv->out_channels % 32 != 0);
    }
    const double outputs =
        static_cast<double>(conv->batch) * conv->num_pixels * conv->out_channels;
    const double ns = conv->num_macs / isa.macs_per_ns + NS_PER_OUTPUT * outputs;
    const int32_t threads = evobit::threads_for(ns, CONV_NS_PER_THREAD);
    ConvJob job{*conv, *epilogue, groups ? isa.groups : isa.conv, 1,
                epilogue->bits && !aligned};
    if (threads > 1) {
        const int32_t tasks = TASKS_PER_THREAD * threads;
        const int32_t chunks = job.all_tiles ? tasks : (tasks - 1) / conv->num_tiles + 1;
        job.chunks = (chunks + threads - 1) / threads * threads;  // as many for each thread
    }
    const int32_t tasks = job.all_tiles ? job.chunks : job.chunks * conv->num_tiles;
    evobit::run_tasks(tasks, threads, conv_task, &job);
    return 0;
}

int64_t evobit_run_peak(int64_t iterations) {
    return isa_of(selected_isa())->peak(iterations);
}

// Python's build names the library as an extension module; it is loaded with ctypes instead.
EVOBIT_API void *PyInit__kernels(void) { return nullptr; }
