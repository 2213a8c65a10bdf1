// Real-valued steps: shares out the work, and copies images and borders.
#include "real.h"

#include <string.h>

#include <atomic>

#include "pool.h"

namespace evobit {
namespace {

// As for binary convolutions: below this a step stays on one thread.
constexpr double MIN_NS_PER_THREAD = 6000.0;
constexpr double NS_PER_VALUE = 0.1;
constexpr double NS_PER_LEVEL = 0.5;  // an image's values are moved one by one

const RealIsa &selected_isa() {
#if defined(__x86_64__)
    if (evobit_selected() == EVOBIT_AVX2) return avx2_real;
    if (evobit_selected() == EVOBIT_AVX512) return avx512_real;
#endif
    return portable_real;
}

// Calls task(begin, end) for parts of [0, count), each a multiple of `grain` but the last.
template <typename Task>
void share_out(int64_t count, int64_t grain, double ns, const Task &task) {
    struct Job {
        const Task &task;
        int64_t count, grain;
        int32_t parts;
    };
    const int32_t threads = threads_for(ns, MIN_NS_PER_THREAD);
    Job job{task, count, grain, threads == 1 ? 1 : 4 * threads};
    run_tasks(job.parts, threads, [](void *context, int32_t i) {
        const Job &all = *static_cast<const Job *>(context);
        const int64_t grains = (all.count + all.grain - 1) / all.grain;
        const int64_t begin = all.grain * (grains * i / all.parts);
        const int64_t end = all.grain * (grains * (i + 1) / all.parts);
        if (begin < end) all.task(begin, end < all.count ? end : all.count);
    }, &job);
}

inline bool is_finite(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

// One row of an image, channel after channel; false if a value is a NaN or an infinity.
bool copy_row(const evobit_input &in, const uint8_t *image, int32_t y, float *out) {
    const int64_t plane = static_cast<int64_t>(in.size) * in.size;
    for (int32_t c = 0; c < in.channels; ++c) {
        const uint8_t *levels = image + c * plane + static_cast<int64_t>(y) * in.size;
        const float *values = in.levels + 256 * static_cast<int64_t>(c);
        for (int32_t x = 0; x < in.size; ++x) {
            out[static_cast<int64_t>(x) * in.channels + c] = values[levels[x]];
        }
    }
    return true;
}

bool copy_row(const evobit_input &in, const float *image, int32_t y, float *out) {
    const int64_t plane = static_cast<int64_t>(in.size) * in.size;
    bool finite = true;
    for (int32_t c = 0; c < in.channels; ++c) {
        const float *values = image + c * plane + static_cast<int64_t>(y) * in.size;
        for (int32_t x = 0; x < in.size; ++x) {
            finite &= is_finite(values[x]);
            out[static_cast<int64_t>(x) * in.channels + c] = values[x];
        }
    }
    return finite;
}

// Writes row y of a map with a border: the border beside it, and above the first, below the last.
// `fill` writes the inner part.
template <typename Fill>
void bordered_row(float *map, int32_t y, int32_t height, int32_t width, int32_t channels,
                  int32_t padding, const Fill &fill) {
    const int64_t side = static_cast<int64_t>(padding) * channels;
    const int64_t inner = static_cast<int64_t>(width) * channels, row = inner + 2 * side;
    float *out = map + (y + padding) * row;
    if (y == 0) memset(map, 0, sizeof(float) * static_cast<size_t>(padding * row));
    memset(out, 0, sizeof(float) * static_cast<size_t>(side));
    fill(out + side);
    memset(out + side + inner, 0, sizeof(float) * static_cast<size_t>(side));
    if (y == height - 1) memset(out + row, 0, sizeof(float) * static_cast<size_t>(padding * row));
}

template <typename Value>
int32_t copy_images(const evobit_input &in, int32_t batch, const Value *images) {
    const int64_t padded = in.size + 2 * static_cast<int64_t>(in.padding);
    const int64_t values = static_cast<int64_t>(in.channels) * in.size * in.size;
    std::atomic<int32_t> bad{batch};
    share_out(static_cast<int64_t>(batch) * in.size, 1, NS_PER_LEVEL * values * batch,
              [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const int32_t image = static_cast<int32_t>(row / in.size);
            const int32_t y = static_cast<int32_t>(row % in.size);
            bool finite = true;
            bordered_row(in.out + image * padded * padded * in.channels, y, in.size, in.size,
                         in.channels, in.padding, [&](float *out) {
                finite = copy_row(in, images + image * values, y, out);
            });
            int32_t least = bad.load();
            while (!finite && image < least && !bad.compare_exchange_weak(least, image)) {
            }
        }
    });
    return bad.load();
}

}  // namespace

void run_moments(const evobit_moments &m) {
    const RealIsa &isa = selected_isa();
    constexpr int64_t GRAIN = 16;  // columns of a vector
    share_out(m.width, GRAIN, NS_PER_VALUE * m.num_rows * m.width,
              [&](int64_t begin, int64_t end) { isa.moments(m, begin, end); });
}

int32_t run_input(const evobit_input &in, int32_t batch, const void *images, bool is_uint8) {
    if (is_uint8) return copy_images(in, batch, static_cast<const uint8_t *>(images));
    return copy_images(in, batch, static_cast<const float *>(images));
}

void run_pad(const evobit_pad &p) {
    const int64_t row_values = static_cast<int64_t>(p.width) * p.channels;
    const int64_t padded_row = row_values + 2 * static_cast<int64_t>(p.padding) * p.channels;
    const int64_t rows = static_cast<int64_t>(p.batch) * p.height;
    share_out(rows, 1, NS_PER_VALUE * rows * row_values, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t image = row / p.height;
            bordered_row(p.out + image * (p.height + 2 * p.padding) * padded_row,
                         static_cast<int32_t>(row % p.height), p.height, p.width, p.channels,
                         p.padding, [&](float *out) {
                memcpy(out, p.input + row * row_values,
                       sizeof(float) * static_cast<size_t>(row_values));
            });
        }
    });
}

void run_pool(const evobit_pool &p) {
    const RealIsa &isa = selected_isa();
    const double values = static_cast<double>(p.batch) * p.height * p.width * p.channels;
    share_out(static_cast<int64_t>(p.batch) * p.out_height, 1, NS_PER_VALUE * values,
              [&](int64_t begin, int64_t end) { isa.pool(p, begin, end); });
}

void run_real_conv(const evobit_real_conv &r, const evobit_epilogue &e) {
    const RealIsa &isa = selected_isa();
    const int64_t pixels = static_cast<int64_t>(r.batch) * r.num_pixels;
    if (e.bits) {  // small beside its floats: all of it is cleared, not its border alone
        const size_t side = 2 * static_cast<size_t>(e.bits_padding);
        memset(e.bits, 0, sizeof(uint32_t) * static_cast<size_t>(r.batch) *
                              (e.bits_height + side) * (e.bits_width + side) * e.bits_words);
    }
    const double outputs = static_cast<double>(pixels) * r.out_channels;
    const double ns = r.num_macs / isa.macs_per_ns + NS_PER_VALUE * outputs;
    constexpr int64_t GRAIN = 12;  // whole kernel tiles
    // Bits of two groups may share a word: then one task does all of a pixel's channels.
    if (e.bits && r.group_outputs % 16 != 0 && r.group_outputs != r.out_channels) {
        share_out(pixels, GRAIN, ns, [&](int64_t begin, int64_t end) {
            for (int32_t tile = 0; tile < r.num_tiles; ++tile) isa.conv(r, e, tile, begin, end);
        });
        return;
    }
    const int64_t chunks = r.num_tiles >= 4 * get_threads() ? 1 : (pixels + GRAIN - 1) / GRAIN;
    share_out(r.num_tiles * chunks, 1, ns, [&](int64_t begin, int64_t end) {
        while (begin < end) {  // chunks of one tile side by side are one call
            const int64_t tile = begin / chunks, first = begin - tile * chunks;
            const int64_t last = end - tile * chunks < chunks ? end - tile * chunks : chunks;
            const int64_t stop = last == chunks ? pixels : last * GRAIN;
            isa.conv(r, e, static_cast<int32_t>(tile), first * GRAIN, stop);
            begin = tile * chunks + last;
        }
    });
}

}  // namespace evobit

int32_t evobit_run_moments(const evobit_moments *moments) {
    evobit::run_moments(*moments);
    return 0;
}
