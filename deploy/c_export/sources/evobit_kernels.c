/* See evobit_kernels.h.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every sum of floats is in the order of evobit's portable engine and every product is rounded
 * before it is added, so that the results are the engine's bit for bit. Compilers must not fuse
 * (-ffp-contract=off where ISO mode does not imply it) nor reorder.
 */
#include "evobit_kernels.h"

#include <stddef.h>

#ifdef EVOBIT_FMAF
#include <math.h>
#endif

#ifdef __FAST_MATH__
#error "evobit: -ffast-math would change the results"
#endif
#if defined(__clang__) || !defined(__GNUC__)
#pragma STDC FP_CONTRACT OFF
#endif

#define WORD_BITS EVOBIT_WORD_BITS

/* ---- streams of bits ---- */

static int32_t popcount(evobit_word x)
{
#if defined(__GNUC__) && !defined(EVOBIT_PORTABLE_POPCOUNT)
#if WORD_BITS == 64
    return (int32_t)__builtin_popcountll(x);
#else
    return (int32_t)__builtin_popcountl(x);
#endif
#else
    /* Sums of 2, of 4 and of 8 bits side by side; the product adds up the bytes in its highest. */
    const evobit_word ones = (evobit_word)-1;
    x -= x >> 1 & ones / 3;
    x = (x & ones / 5) + (x >> 2 & ones / 5);
    x = (x + (x >> 4)) & ones / 17;
    return (int32_t)((evobit_word)(x * (ones / 255)) >> (WORD_BITS - 8));
#endif
}

/* `count` bits, 1 to WORD_BITS, from bit `at` on; the higher ones are whatever follows. */
static evobit_word bits_at(const evobit_word *stream, uint32_t at, uint32_t count)
{
    const evobit_word *word = stream + at / WORD_BITS;
    const uint32_t shift = at % WORD_BITS;
    const evobit_word bits = word[0] >> shift;
    return shift + count > WORD_BITS ? bits | word[1] << (WORD_BITS - shift) : bits;
}

/* In how many of `count` bits two streams differ. */
static int32_t differences(const evobit_word *a, uint32_t a_at, const evobit_word *b,
                           uint32_t b_at, uint32_t count)
{
    int32_t sum = 0;
    if (a_at % WORD_BITS == 0 && b_at % WORD_BITS == 0) { /* whole words, without shifts */
        const evobit_word *x = a + a_at / WORD_BITS, *y = b + b_at / WORD_BITS;
        const uint32_t words = count / WORD_BITS;
        uint32_t i;
        for (i = 0; i < words; ++i) sum += popcount(x[i] ^ y[i]);
        a_at += words * WORD_BITS;
        b_at += words * WORD_BITS;
        count -= words * WORD_BITS;
    }
    while (count > 0) {
        const uint32_t taken = count < WORD_BITS ? count : WORD_BITS;
        const evobit_word x = bits_at(a, a_at, taken) ^ bits_at(b, b_at, taken);
        sum += popcount(x << (WORD_BITS - taken));
        a_at += taken;
        b_at += taken;
        count -= taken;
    }
    return sum;
}

/* The sum of `count` weights of +1 and -1. */
static int32_t weight_sum(const evobit_word *weights, uint32_t at, uint32_t count)
{
    uint32_t left = count;
    int32_t negative = 0;
    while (left > 0) {
        const uint32_t taken = left < WORD_BITS ? left : WORD_BITS;
        negative += popcount(bits_at(weights, at, taken) << (WORD_BITS - taken));
        at += taken;
        left -= taken;
    }
    return (int32_t)count - 2 * negative;
}

/* Writes a map's signs, one after the other. */
typedef struct {
    evobit_word *next;
    evobit_word bits;
    int32_t count;
} writer;

static void put_sign(writer *to, int is_negative)
{
    to->bits |= (evobit_word)is_negative << to->count;
    if (++to->count == WORD_BITS) {
        *to->next++ = to->bits;
        to->bits = 0;
        to->count = 0;
    }
}

static void finish_signs(writer *to)
{
    if (to->count > 0) *to->next = to->bits;
}

/* ---- windows ---- */

/* The source pixel of the window's first tap, and the taps [begin, end) that lie inside the map. */
typedef struct {
    int32_t first, begin, end;
} span;

static span span_of(int32_t index, int32_t stride, int32_t padding, int32_t kernel, int32_t size)
{
    span taps;
    taps.first = index * stride - padding;
    taps.begin = taps.first < 0 ? -taps.first : 0;
    taps.begin = taps.begin < kernel ? taps.begin : kernel;
    taps.end = size - taps.first < kernel ? size - taps.first : kernel;
    taps.end = taps.end > taps.begin ? taps.end : taps.begin;
    return taps;
}

static span rows_of(const evobit_window *w, int32_t row)
{
    return span_of(row, w->stride, w->padding, w->kernel_height, w->height);
}

static span columns_of(const evobit_window *w, int32_t column)
{
    return span_of(column, w->stride, w->padding, w->kernel_width, w->width);
}

/* ---- what follows a convolution's sum ---- */

static void finish(const evobit_epilogue *e, writer *signs, int32_t at, int32_t pixel,
                   int32_t channel, float y)
{
    if (e->added != NULL) y += e->added[pixel * e->added_channels + channel % e->added_channels];
    if (e->slope != NULL) {
        y = y > 0.0f ? y : y * e->slope[channel];
    } else if (e->gamma != NULL) {
        y -= e->gamma[channel];
        y = y > 0.0f ? y : y * e->beta[channel];
        y += e->zeta[channel];
    }
    if (e->out != NULL) e->out[at] = y;
    if (e->signs != NULL) put_sign(signs, !(y >= (e->limits == NULL ? 0.0f : e->limits[channel])));
}

/* count * scale + bias, rounded once: a product of 24 and 24 bits is exact in a double. */
static float scaled(int32_t count, float scale, float bias)
{
#ifdef EVOBIT_FMAF
    return fmaf((float)count, scale, bias);
#else
    return (float)((double)count * (double)scale + (double)bias);
#endif
}

/* ---- the operations ---- */

void evobit_run_input(const evobit_input *input, const uint8_t *image)
{
    int32_t channel, pixel;
    for (channel = 0; channel < input->channels; ++channel) {
        const float scale = input->scale[channel], shift = input->shift[channel];
        for (pixel = 0; pixel < input->pixels; ++pixel) {
            const float level = (float)*image++ * scale;
            input->out[pixel * input->channels + channel] = level - shift;
        }
    }
}

void evobit_run_pack(const evobit_pack *pack)
{
    writer signs = {NULL, 0, 0};
    const float *x = pack->source;
    int32_t channel, pixel;
    signs.next = pack->signs;
    for (pixel = 0; pixel < pack->pixels; ++pixel) {
        for (channel = 0; channel < pack->channels; ++channel) {
            put_sign(&signs, !(*x++ >= (pack->limits == NULL ? 0.0f : pack->limits[channel])));
        }
    }
    finish_signs(&signs);
}

/* Row by row: the sums of the rows are added up, as in the engine. */
static float pooled(const evobit_pool *pool, span rows, span columns, int32_t channel)
{
    const evobit_window *w = &pool->window;
    float all = 0.0f;
    int32_t ky, kx;
    for (ky = rows.begin; ky < rows.end; ++ky) {
        const int32_t pixel = (rows.first + ky) * w->width + columns.first;
        float row = 0.0f;
        for (kx = columns.begin; kx < columns.end; ++kx) {
            const float value = pool->source[(pixel + kx) * w->channels + channel];
            if (kx == columns.begin) {
                row = value;
            } else if (pool->is_max) {
                row = value > row ? value : row;
            } else {
                row += value;
            }
        }
        if (ky == rows.begin) {
            all = row;
        } else if (pool->is_max) {
            all = row > all ? row : all;
        } else {
            all += row;
        }
    }
    return all;
}

void evobit_run_pool(const evobit_pool *pool)
{
    const evobit_window *w = &pool->window;
    float *out = pool->out;
    int32_t row, column, channel;
    for (row = 0; row < w->out_height; ++row) {
        const span rows = rows_of(w, row);
        for (column = 0; column < w->out_width; ++column) {
            const span columns = columns_of(w, column);
            const int32_t inside = (rows.end - rows.begin) * (columns.end - columns.begin);
            const float share = pool->is_max ? 1.0f : 1.0f / (float)inside;
            for (channel = 0; channel < w->channels; ++channel) {
                *out++ = pooled(pool, rows, columns, channel) * share;
            }
        }
    }
}

/* Up to OUTPUTS channels of one group and one pixel: sums that do not wait for each other. */
enum { OUTPUTS = 8 };

static void real_sums(const evobit_real_conv *conv, span rows, span columns, int32_t channel,
                      int32_t outputs, float *sums)
{
    const evobit_window *w = &conv->window;
    const int32_t depth = w->channels / w->groups;
    const int32_t filter = w->kernel_height * w->kernel_width * depth;
    const int32_t group = channel / (w->out_channels / w->groups);
    int32_t ky, kx, i, output;
    for (output = 0; output < OUTPUTS; ++output) sums[output] = 0.0f;
    for (ky = rows.begin; ky < rows.end; ++ky) {
        for (kx = columns.begin; kx < columns.end; ++kx) {
            const int32_t pixel = (rows.first + ky) * w->width + columns.first + kx;
            const float *x = conv->source + pixel * w->channels + group * depth;
            const float *weights =
                conv->weights + channel * filter + (ky * w->kernel_width + kx) * depth;
            for (i = 0; i < depth; ++i) {
                for (output = 0; output < outputs; ++output) {
                    const float product = x[i] * weights[output * filter + i];
                    sums[output] += product;
                }
            }
        }
    }
}

void evobit_run_real_conv(const evobit_real_conv *conv)
{
    const evobit_window *w = &conv->window;
    const evobit_epilogue *e = &conv->epilogue;
    const int32_t group_outputs = w->out_channels / w->groups;
    writer signs = {NULL, 0, 0};
    float sums[OUTPUTS];
    int32_t row, column, channel, output, outputs, at = 0, pixel = 0;
    signs.next = e->signs;
    for (row = 0; row < w->out_height; ++row) {
        const span rows = rows_of(w, row);
        for (column = 0; column < w->out_width; ++column, ++pixel) {
            const span columns = columns_of(w, column);
            for (channel = 0; channel < w->out_channels; channel += outputs) {
                const int32_t left = group_outputs - channel % group_outputs; /* in the group */
                outputs = left < OUTPUTS ? left : OUTPUTS;
                real_sums(conv, rows, columns, channel, outputs, sums);
                for (output = 0; output < outputs; ++output, ++at) {
                    const int32_t c = channel + output;
                    finish(e, &signs, at, pixel, c, sums[output] + e->bias[c]);
                }
            }
        }
    }
    finish_signs(&signs);
}

/* The integer convolution of signs with signs, of one pixel and output channel. */
static int32_t binary_count(const evobit_binary_conv *conv, span rows, span columns,
                            int32_t channel)
{
    const evobit_window *w = &conv->window;
    const int32_t depth = w->channels / w->groups;
    const int32_t products = w->kernel_height * w->kernel_width * depth;
    const int32_t group = channel / (w->out_channels / w->groups);
    const int32_t filter = channel * products;
    const int32_t inside = (rows.end - rows.begin) * (columns.end - columns.begin) * depth;
    /* Without groups the taps of a row lie side by side in both streams: one run of bits. */
    const int32_t taps = w->groups == 1 ? columns.end - columns.begin : 1;
    const uint32_t run = (uint32_t)(taps * depth);
    int32_t ky, kx, count = inside, outside = 0;
    for (ky = rows.begin; ky < rows.end; ++ky) {
        for (kx = columns.begin; kx < columns.end; kx += taps) {
            const int32_t pixel = (rows.first + ky) * w->width + columns.first + kx;
            const uint32_t bits = (uint32_t)(pixel * w->channels + group * depth);
            const uint32_t weights =
                (uint32_t)(filter + (ky * w->kernel_width + kx) * depth);
            count -= 2 * differences(conv->source, bits, conv->weights, weights, run);
            if (conv->pad_value != 0 && inside < products) {
                outside -= weight_sum(conv->weights, weights, run);
            }
        }
    }
    if (conv->pad_value != 0 && inside < products) {
        outside += weight_sum(conv->weights, (uint32_t)filter, (uint32_t)products);
    }
    return count + conv->pad_value * outside;
}

void evobit_run_binary_conv(const evobit_binary_conv *conv)
{
    const evobit_window *w = &conv->window;
    const evobit_epilogue *e = &conv->epilogue;
    writer signs = {NULL, 0, 0};
    int32_t row, column, channel, at = 0, pixel = 0;
    signs.next = e->signs;
    for (row = 0; row < w->out_height; ++row) {
        const span rows = rows_of(w, row);
        for (column = 0; column < w->out_width; ++column, ++pixel) {
            const span columns = columns_of(w, column);
            for (channel = 0; channel < w->out_channels; ++channel, ++at) {
                const int32_t count = binary_count(conv, rows, columns, channel);
                const float y = scaled(count, e->scale[channel], e->bias[channel]);
                finish(e, &signs, at, pixel, channel, y);
            }
        }
    }
    finish_signs(&signs);
}
