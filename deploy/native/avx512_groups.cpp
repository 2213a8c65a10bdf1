// Group lanes on AVX-512 with BITALG: every 8- or 16-bit lane of a register is a group.
//
// A register holds 512 consecutive channel bits: part of a pixel, or several pixels of a row. One
// counter register an output of the group; at the end OUTPUTS registers of lanes are turned into
// lanes of OUTPUTS, which is the order of channels.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

#include "isa.h"

// GCC 12 warns of its own intrinsics: undefined lanes that a full mask overwrites.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bitalg"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bitalg")
#endif

namespace {
#include "vectors_avx512.h"
#include "epilogue.h"

// Within each 128 bits, ROUNDS rounds of interleaving turn 2^ROUNDS rows into columns.
template <int BITS>
inline __m512i interleave_low(__m512i a, __m512i b) {
    if constexpr (BITS == 8) return _mm512_unpacklo_epi8(a, b);
    if constexpr (BITS == 16) return _mm512_unpacklo_epi16(a, b);
    if constexpr (BITS == 32) return _mm512_unpacklo_epi32(a, b);
    return _mm512_unpacklo_epi64(a, b);
}
template <int BITS>
inline __m512i interleave_high(__m512i a, __m512i b) {
    if constexpr (BITS == 8) return _mm512_unpackhi_epi8(a, b);
    if constexpr (BITS == 16) return _mm512_unpackhi_epi16(a, b);
    if constexpr (BITS == 32) return _mm512_unpackhi_epi32(a, b);
    return _mm512_unpackhi_epi64(a, b);
}

// Row i meets row i + ROWS/2 in every round: after log2(ROWS) rounds the rows' elements of one
// lane lie side by side, lanes in order.
template <int BITS, int ROWS>
inline void interleave_rows(__m512i (&rows)[ROWS]) {
    for (int width = ROWS; width > 1; width /= 2) {
        __m512i next[ROWS];
        for (int i = 0; i < ROWS / 2; ++i) {
            next[2 * i] = interleave_low<BITS>(rows[i], rows[i + ROWS / 2]);
            next[2 * i + 1] = interleave_high<BITS>(rows[i], rows[i + ROWS / 2]);
        }
        for (int i = 0; i < ROWS; ++i) rows[i] = next[i];
    }
}

template <int BITS>
inline Floats counts_at(const uint8_t *p) {
    if constexpr (BITS == 8) {
        return _mm512_cvtepi32_ps(
            _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))));
    }
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))));
}

template <int BITS, int OUTPUTS, bool plain>
void groups_tile(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                 const uint32_t *image_bits, int64_t image, int32_t first, int32_t num_pixels) {
    constexpr int BYTES = BITS / 8;
    const uint32_t *bits = image_bits + c.pixel_offset[first] + t.word;
    const uint32_t *weights = c.weights + t.weights;
    __m512i counts[OUTPUTS];
    for (int j = 0; j < OUTPUTS; ++j) counts[j] = _mm512_setzero_si512();
    for (int32_t s = 0; s < c.num_steps; ++s, weights += 16 * OUTPUTS) {
        const Words taken = c.gathered ? pick_words(bits + c.step_offset[s], c.lane_words, true)
                                       : load_words(bits + c.step_offset[s]);
        for (int j = 0; j < OUTPUTS; ++j) {
            const Words unlike = exclusive_or(taken, load_words(weights + 16 * j));
            if constexpr (BITS == 8) {
                counts[j] = _mm512_add_epi8(counts[j], _mm512_popcnt_epi8(unlike));
            } else {
                counts[j] = _mm512_add_epi16(counts[j], _mm512_popcnt_epi16(unlike));
            }
        }
    }
    interleave_rows<BITS, OUTPUTS>(counts);
    // Quarter q of register r holds entries (q * OUTPUTS + r) * 16 bytes of (lane, output).
    alignas(64) uint8_t ordered[64 * OUTPUTS + 64];
    for (int r = 0; r < OUTPUTS; ++r) {
        __m128i *to = reinterpret_cast<__m128i *>(ordered) + r;
        _mm_store_si128(to, _mm512_castsi512_si128(counts[r]));
        _mm_store_si128(to + OUTPUTS, _mm512_extracti32x4_epi32(counts[r], 1));
        _mm_store_si128(to + 2 * OUTPUTS, _mm512_extracti32x4_epi32(counts[r], 2));
        _mm_store_si128(to + 3 * OUTPUTS, _mm512_extracti32x4_epi32(counts[r], 3));
    }
    // Copies: a store through `out` could change what `c`, `e` and `t` refer to.
    const evobit_conv map = c;
    const evobit_epilogue to = e;
    const evobit_tile tile = t;
    const int lanes = 32 * map.pixel_words / BITS;  // of a pixel
    for (int32_t p = 0; p < num_pixels; ++p) {
        const Place place = place_of<plain>(map, to, image, first + p);
        const uint8_t *pixel = ordered + p * lanes * OUTPUTS * BYTES;
        if (map.group_outputs == OUTPUTS) {  // all channels of the pixel side by side
            const int32_t channels = tile.num_channels * OUTPUTS;
            int32_t i = 0;
            for (; i + 16 <= channels; i += 16) {
                finish<plain>(map, to, place, counts_at<BITS>(pixel + i * BYTES), tile.channel + i, 16);
            }
            if (i < channels) {
                finish<plain>(map, to, place, counts_at<BITS>(pixel + i * BYTES), tile.channel + i,
                              channels - i);
            }
        } else {
            for (int32_t lane = 0; lane < tile.num_channels; ++lane) {
                finish<plain>(map, to, place, counts_at<BITS>(pixel + lane * OUTPUTS * BYTES),
                              tile.channel + lane * map.group_outputs, OUTPUTS);
            }
        }
    }
}

template <int BITS, int OUTPUTS>
void groups_units(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                  int64_t begin, int64_t end) {
    const bool plain = is_plain(e);
    const int32_t row_units = (c.out_width + c.vector_pixels - 1) / c.vector_pixels;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t image = unit / c.num_units;
        const int32_t in_image = static_cast<int32_t>(unit - image * c.num_units);
        const int32_t row = in_image / row_units;
        const int32_t column = (in_image - row * row_units) * c.vector_pixels;
        const int32_t left = c.out_width - column;
        const int32_t pixels = left < c.vector_pixels ? left : c.vector_pixels;
        const uint32_t *bits = c.input + image * c.image_words;
        const int32_t first = row * c.out_width + column;
        if (plain) {
            groups_tile<BITS, OUTPUTS, true>(c, e, t, bits, image, first, pixels);
        } else {
            groups_tile<BITS, OUTPUTS, false>(c, e, t, bits, image, first, pixels);
        }
    }
}

void run_groups(const evobit_conv &c, const evobit_epilogue &e, int32_t tile, int64_t begin,
                int64_t end) {
    const evobit_tile &t = c.tiles[tile];
    if (c.lane_bits == 8) {
        if (t.num_blocks == 8) return groups_units<8, 8>(c, e, t, begin, end);
        return groups_units<8, 16>(c, e, t, begin, end);
    }
    if (t.num_blocks == 8) return groups_units<16, 8>(c, e, t, begin, end);
    return groups_units<16, 16>(c, e, t, begin, end);
}
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace evobit {
void avx512_groups(const evobit_conv &c, const evobit_epilogue &e, int32_t tile, int64_t begin,
                   int64_t end) {
    run_groups(c, e, tile, begin, end);
}
}  // namespace evobit
#endif
