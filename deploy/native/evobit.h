// The C interface of the 1-bit kernels: plain structs of pointers, nothing allocated in a call.
//
// Bits: 32-bit words along channels, channel c in bit c % 32 of word c / 32, bit 1 = negative.
// Maps are NHWC. A packed map carries a border of `padding` pixels on each side, always 0 bits,
// and 16 words that nobody reads meaningfully after its end (kernels load whole vectors).
// Every function that fills a packed map writes all of it, border included.
#pragma once

#include <stdint.h>

#if defined(_WIN32)
#define EVOBIT_API extern "C" __declspec(dllexport)
#else
#define EVOBIT_API extern "C" __attribute__((visibility("default")))
#endif

enum { EVOBIT_VERSION = 2 };
enum { EVOBIT_PORTABLE = 0, EVOBIT_AVX2 = 1, EVOBIT_AVX512 = 2, EVOBIT_NUM_ISAS = 3 };

// How a convolution's weights lie, and with that which kernel runs it.
enum {
    EVOBIT_LANES = 0,    // 16 output channels of one group in a vector; whole words
    EVOBIT_MASKED = 1,   // 16 output channels of any groups; every lane has its word and its mask
    EVOBIT_GROUPS = 2,   // every lane of `lane_bits` is a group, or several narrow ones
};
enum { EVOBIT_LINEAR = 0, EVOBIT_PRELU = 1, EVOBIT_RPRELU = 2 };

// A part of the output channels that one pass over the map computes.
struct evobit_tile {
    int32_t channel;       // first output channel (GROUPS: of the first group)
    int32_t num_channels;  // LANES, MASKED: channels computed; GROUPS: lanes of a pixel in use
    int32_t word;          // first activation word, relative to the pixel
    int32_t num_blocks;    // LANES: vectors of 16 outputs, 1, 2 or 4; GROUPS: outputs a lane, 8, 16
    int64_t weights;       // index of the tile's first word in `weights` (and `masks`)
};

struct evobit_conv {
    int32_t kind, batch, out_channels, num_steps, num_tiles;
    int32_t num_units;      // work units an image: output pixels, or (GROUPS) vectors of pixels
    int32_t num_pixels;     // output pixels an image
    int32_t out_width;      // output pixels a row
    int32_t vector_pixels;  // GROUPS: output pixels in a vector
    int32_t pixel_words;    // GROUPS: words of a pixel, 16 at most in one vector
    int32_t lane_bits;      // GROUPS: 8 or 16; 1: depthwise, counted in bit planes
    int32_t lane_outputs;   // GROUPS: output channels of a lane (of 8 bits where lane_bits is 1)
    int32_t gathered;       // GROUPS: a vector's pixels are apart; MASKED: lanes >= 16 words apart
    int32_t reserved;
    int64_t image_words;          // words of one image of the packed input
    int64_t num_macs;             // binary multiply-adds of the whole batch
    const uint32_t *input;            // packed map, its border as wide as the padding
    const struct evobit_tile *tiles;  // (num_tiles)
    // LANES, MASKED: (step, block, 16); GROUPS: (step, output, 16), in bit planes (step, 16).
    const uint32_t *weights;
    // The bits that count. MASKED: like weights; GROUPS: (lane_outputs); null where all do.
    const uint32_t *masks;
    const int32_t *lane_words;        // MASKED: (tile, 16) word of a lane; GROUPS gathered: (16)
    const int32_t *step_offset;       // (num_steps) words from a pixel's first to the step's word
    const int32_t *pixel_offset;      // (num_pixels) words from the image's first to a pixel's
    const int32_t *pixel_class;       // (num_pixels) border class
    const float *correction;          // (classes, out_channels): count = correction - 2 * popcount
};

// y = count * scale + bias; y += residual; y = activation(y); then floats, signs or both.
struct evobit_epilogue {
    int32_t activation;         // LINEAR; PRELU: slope; RPRELU: gamma, beta, zeta
    int32_t residual_channels;  // any number, taken in a circle; 0 without residual
    int32_t bits_height, bits_width, bits_padding, bits_words;  // map of `bits`; border each side
    const float *scale, *bias;  // (out_channels)
    const float *residual;      // (batch, pixels, residual_channels)
    const float *slope, *gamma, *beta, *zeta;  // (out_channels)
    const float *thresholds;    // (out_channels) of the sign; null: 0
    int32_t *counts;            // (batch, pixels, out_channels): counts, then nothing else
    float *out;                 // (batch, pixels, out_channels) or null
    uint32_t *bits;             // packed map or null
};

struct evobit_pack {
    int32_t batch, height, width, channels, padding, num_words;
    const float *input;       // (batch, height, width, channels)
    const float *thresholds;  // (channels) or null: 0; the sign is +1 where x >= threshold
    uint32_t *bits;           // (batch, height + 2 padding, width + 2 padding, num_words)
};

// Sums of values and of their squares, for the statistics of a BatchNorm. Both are doubles: exact
// for counts of at most K products over P pixels while K * K * P <= 2^53.
struct evobit_moments {
    int32_t width, reserved;
    int64_t num_rows;
    const float *input;      // (num_rows, width)
    double *sums, *squares;  // (width)
};

EVOBIT_API int32_t evobit_version(void);
// Bit i: instruction set i runs on this machine.
EVOBIT_API int32_t evobit_available(void);
// 0, or -1 where this machine lacks the instruction set.
EVOBIT_API int32_t evobit_select(int32_t isa);
EVOBIT_API int32_t evobit_selected(void);
// Whether the selected instruction set has the kernel of kind GROUPS.
EVOBIT_API int32_t evobit_has_groups(void);
EVOBIT_API void evobit_set_threads(int32_t threads);
EVOBIT_API int32_t evobit_threads(void);
EVOBIT_API int32_t evobit_run_pack(const struct evobit_pack *pack);
EVOBIT_API int32_t evobit_run_conv(const struct evobit_conv *conv,
                                   const struct evobit_epilogue *epilogue);
// Every column is added up in the order of the rows, whatever the number of threads.
EVOBIT_API int32_t evobit_run_moments(const struct evobit_moments *moments);
// Runs XOR + popcount + add on registers; returns the binary multiply-adds done.
EVOBIT_API int64_t evobit_run_peak(int64_t iterations);
