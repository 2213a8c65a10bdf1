/* The operations of a packed 1-bit network in plain C99: nothing allocated, nothing global.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Maps of floats are (height, width, channels), channels closest together. Bits are streams
 * without gaps: bit i is bit i % EVOBIT_WORD_BITS of word i / EVOBIT_WORD_BITS, 1 = negative.
 * A map of signs is such a stream in the same order as its floats; binary weights are one in the
 * order (output channel, kernel row, kernel column, input channel of the group).
 */
#ifndef EVOBIT_KERNELS_H
#define EVOBIT_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 32 suits most microcontrollers; the results are the same. All files need the same choice. */
#ifndef EVOBIT_WORD_BITS
#define EVOBIT_WORD_BITS 64
#endif

/* EVOBIT_PAIR writes 64 bits of a constant stream, the first 32 first. */
#if EVOBIT_WORD_BITS == 64
typedef uint64_t evobit_word;
#define EVOBIT_PAIR_WORDS 1
#define EVOBIT_PAIR(first, second) ((uint64_t)(second) << 32 | (first))
#elif EVOBIT_WORD_BITS == 32
typedef uint32_t evobit_word;
#define EVOBIT_PAIR_WORDS 2
#define EVOBIT_PAIR(first, second) (first), (second)
#else
#error "EVOBIT_WORD_BITS must be 32 or 64"
#endif

/* Windows of kernel_height x kernel_width pixels on a map, with `padding` pixels around it. */
typedef struct {
    int32_t height, width, channels; /* of the source */
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width, stride, padding, groups;
} evobit_window;

/* What becomes of a convolution's y, in this order; a pointer that is NULL: nothing. */
typedef struct {
    const float *scale;     /* binary convolutions: y = count * scale + bias, rounded once */
    const float *bias;      /* real ones: y = sum + bias */
    const float *added;     /* y += added of the same pixel, channel c taking c % added_channels */
    const float *slope;     /* y = y where y > 0, else y * slope */
    const float *gamma;     /* y -= gamma; y = y where y > 0, else y * beta; y += zeta */
    const float *beta;
    const float *zeta;
    const float *limits;    /* the sign is negative where not y >= limit; NULL: 0 */
    float *out;             /* the map; may be `added` itself where that has as many channels */
    evobit_word *signs;     /* the map's signs */
    int32_t added_channels;
} evobit_epilogue;

typedef struct {
    evobit_window window;
    int32_t pad_value; /* what the signs outside the map count as: -1, 0 or 1 */
    const evobit_word *source;
    const evobit_word *weights;
    evobit_epilogue epilogue;
} evobit_binary_conv;

typedef struct {
    evobit_window window;
    const float *source;
    const float *weights; /* (output channel, kernel row, kernel column, input channel) */
    evobit_epilogue epilogue;
} evobit_real_conv;

typedef struct {
    evobit_window window;
    int32_t is_max; /* else the average of the pixels inside the map */
    const float *source;
    float *out;
} evobit_pool;

typedef struct {
    int32_t pixels, channels;
    const float *source;
    const float *limits; /* (channels); NULL: 0 */
    evobit_word *signs;
} evobit_pack;

typedef struct {
    int32_t pixels, channels;
    const float *scale; /* a level becomes level * scale - shift of its channel */
    const float *shift;
    float *out;
} evobit_input;

/* `image` is (channels, height, width). */
void evobit_run_input(const evobit_input *input, const uint8_t *image);
void evobit_run_pack(const evobit_pack *pack);
void evobit_run_pool(const evobit_pool *pool);
void evobit_run_real_conv(const evobit_real_conv *conv);
void evobit_run_binary_conv(const evobit_binary_conv *conv);

#ifdef __cplusplus
}
#endif

#endif
