// Group lanes on AVX-512 with BITALG: every 8- or 16-bit lane of a register is a group, or several
// of 4, 2 or 1 channels.
//
// A register holds 512 consecutive channel bits: part of a pixel, or several pixels of a row. One
// counter register an output of the lane; at the end OUTPUTS registers of lanes are turned into
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
    __attribute__((                 \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bitalg,gfni"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bitalg,gfni")
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

inline Words take_words(const evobit_conv &c, const uint32_t *bits) {
    return c.gathered ? pick_words(bits, c.lane_words, true) : load_words(bits);
}

// Popcounts of a tile's outputs, in lanes of 8 or 16 bits. `masked`: a lane has several groups, and
// of each output only its group's bits count.
template <int BITS, int OUTPUTS, bool masked>
inline void count_lanes(const evobit_conv &c, const evobit_tile &t, const uint32_t *bits,
                        __m512i (&counts)[OUTPUTS]) {
    __m512i masks[OUTPUTS];
    for (int j = 0; j < OUTPUTS; ++j) {
        counts[j] = _mm512_setzero_si512();
        if (masked) masks[j] = broadcast_word(c.masks[t.channel % c.lane_outputs + j]);
    }
    const uint32_t *weights = c.weights + t.weights;
    for (int32_t s = 0; s < c.num_steps; ++s, weights += 16 * OUTPUTS) {
        const Words taken = take_words(c, bits + c.step_offset[s]);
        for (int j = 0; j < OUTPUTS; ++j) {
            const Words filter = load_words(weights + 16 * j);
            // Table 0x28: (taken ^ filter) & mask, in one instruction.
            const Words unlike = masked ? _mm512_ternarylogic_epi32(taken, filter, masks[j], 0x28)
                                        : exclusive_or(taken, filter);
            if constexpr (BITS == 8) {
                counts[j] = _mm512_add_epi8(counts[j], _mm512_popcnt_epi8(unlike));
            } else {
                counts[j] = _mm512_add_epi16(counts[j], _mm512_popcnt_epi16(unlike));
            }
        }
    }
}

// A full adder of every bit: a + b + x = sum a + 2 * what is returned.
inline __m512i add_bits(__m512i &a, __m512i b, __m512i x) {
    const __m512i carry = _mm512_ternarylogic_epi32(a, b, x, 0xE8);  // the majority
    a = _mm512_ternarylogic_epi32(a, b, x, 0x96);                    // the parity
    return carry;
}

// Adds `carry` at plane `first` of numbers that lie across PLANES planes, one bit in each.
template <int PLANES>
inline void add_at(__m512i (&planes)[PLANES], int first, __m512i carry) {
    for (int i = first; i < PLANES; ++i) {
        const __m512i next = _mm512_and_si512(planes[i], carry);
        planes[i] = exclusive_or(planes[i], carry);
        carry = next;
    }
}

// Depthwise: popcounts of 512 channels in bit planes, four taps at a time.
template <int PLANES>
inline void count_planes(const evobit_conv &c, const evobit_tile &t, const uint32_t *bits,
                         __m512i (&planes)[PLANES]) {
    const uint32_t *weights = c.weights + t.weights;
    const int32_t *offsets = c.step_offset;
    const auto unlike = [&](int32_t s) {
        return exclusive_or(take_words(c, bits + offsets[s]), load_words(weights + 16 * s));
    };
    for (int i = 0; i < PLANES; ++i) planes[i] = _mm512_setzero_si512();
    int32_t s = 0;
    for (; s + 4 <= c.num_steps; s += 4) {
        const __m512i two = add_bits(planes[0], unlike(s), unlike(s + 1));
        const __m512i other = add_bits(planes[0], unlike(s + 2), unlike(s + 3));
        add_at(planes, 2, add_bits(planes[1], two, other));
    }
    for (; s < c.num_steps; ++s) add_at(planes, 0, unlike(s));
}

// Bit planes to bytes, in the order of channels: bytes of the planes side by side, then every
// 8 x 8 bits transposed, which is to multiply them by the rows of the unit matrix.
template <int PLANES>
inline void order_planes(const __m512i (&planes)[PLANES], __m512i (&rows)[8]) {
    for (int i = 0; i < 8; ++i) rows[i] = _mm512_setzero_si512();
    for (int i = 0; i < PLANES; ++i) rows[7 - i] = planes[i];  // the first byte is the highest bit
    interleave_rows<8, 8>(rows);
    const __m512i unit = _mm512_set1_epi64(static_cast<int64_t>(0x8040201008040201));
    for (__m512i &row : rows) row = _mm512_gf2p8affine_epi64_epi8(unit, row, 0);
}

// 16-bit lanes whose counts fit a byte: two outputs in one register, the even one below.
template <int ROWS>
inline void merge_pairs(const __m512i (&counts)[2 * ROWS], __m512i (&rows)[ROWS]) {
    for (int i = 0; i < ROWS; ++i) {
        rows[i] = _mm512_or_si512(counts[2 * i], _mm512_slli_epi16(counts[2 * i + 1], 8));
    }
}

// Quarter q of interleaved row r holds bytes 16 (q ROWS + r) of (lane, output): in 4 rows at a time
// the 4 x 4 quarters are transposed.
template <int ROWS>
inline void store_rows(const __m512i (&rows)[ROWS], uint8_t *to) {
    for (int r = 0; r < ROWS; r += 4) {
        const __m512i a = _mm512_shuffle_i32x4(rows[r], rows[r + 1], 0x44);  // a0 a1 b0 b1
        const __m512i b = _mm512_shuffle_i32x4(rows[r + 2], rows[r + 3], 0x44);
        const __m512i c = _mm512_shuffle_i32x4(rows[r], rows[r + 1], 0xEE);  // a2 a3 b2 b3
        const __m512i d = _mm512_shuffle_i32x4(rows[r + 2], rows[r + 3], 0xEE);
        uint8_t *quarter = to + 16 * r;
        _mm512_store_si512(quarter, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_store_si512(quarter + 16 * ROWS, _mm512_shuffle_i32x4(a, b, 0xDD));
        _mm512_store_si512(quarter + 32 * ROWS, _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_store_si512(quarter + 48 * ROWS, _mm512_shuffle_i32x4(c, d, 0xDD));
    }
}

inline __m128i load_16(const uint8_t *p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
}

// Popcounts of BYTES each, in the order of channels.
template <int BYTES>
struct Ordered {
    const uint8_t *counts;
    int32_t pixel_bytes;

    Floats operator()(int32_t p, int32_t channel) const {
        const uint8_t *at = counts + p * pixel_bytes + channel * BYTES;
        if constexpr (BYTES == 2) {
            const __m256i both = _mm256_set_m128i(load_16(at + 16), load_16(at));
            return to_floats(_mm512_cvtepu16_epi32(both));
        }
        return to_floats(_mm512_cvtepu8_epi32(load_16(at)));
    }
};

// A vector of pixels, of which every lane of BITS has OUTPUTS outputs. They lie side by side where
// these are all of the lane's.
template <int BITS, int BYTES, int OUTPUTS, int ROWS>
inline void finish_rows(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                        const __m512i (&rows)[ROWS], int64_t image, int32_t first,
                        int32_t num_pixels) {
    alignas(64) uint8_t stored[64 * ROWS + 32];  // more, as 16 counts are read at once
    store_rows(rows, stored);
    const Strip strip(c, e, image, first, num_pixels);
    const int32_t lane_bytes = OUTPUTS * BYTES, pixel_lanes = 32 * c.pixel_words / BITS;
    Ordered<BYTES> counts = {stored, pixel_lanes * lane_bytes};
    if (c.lane_outputs == OUTPUTS) {
        finish(c, e, strip, t.channel, t.num_channels * OUTPUTS, counts);
        return;
    }
    for (int32_t lane = 0; lane < t.num_channels; ++lane, counts.counts += lane_bytes) {
        finish(c, e, strip, t.channel + lane * c.lane_outputs, OUTPUTS, counts);
    }
}

template <int BITS, int OUTPUTS, bool masked>
void groups_tile(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                 const uint32_t *bits, int64_t image, int32_t first, int32_t num_pixels) {
    __m512i counts[OUTPUTS];
    count_lanes<BITS, OUTPUTS, masked>(c, t, bits, counts);
    if (BITS == 16 && 16 * c.num_steps < 256) {
        __m512i rows[OUTPUTS / 2];
        merge_pairs(counts, rows);
        interleave_rows<16>(rows);
        finish_rows<BITS, 1, OUTPUTS>(c, e, t, rows, image, first, num_pixels);
    } else {
        interleave_rows<BITS>(counts);
        finish_rows<BITS, BITS / 8, OUTPUTS>(c, e, t, counts, image, first, num_pixels);
    }
}

template <int PLANES>
void planes_tile(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                 const uint32_t *bits, int64_t image, int32_t first, int32_t num_pixels) {
    __m512i planes[PLANES], rows[8];
    count_planes(c, t, bits, planes);
    order_planes(planes, rows);
    finish_rows<8, 1, 8>(c, e, t, rows, image, first, num_pixels);
}

using GroupsTile = void (*)(const evobit_conv &, const evobit_epilogue &, const evobit_tile &,
                            const uint32_t *, int64_t, int32_t, int32_t);

GroupsTile groups_tile_of(const evobit_conv &c, const evobit_tile &t) {
    if (c.lane_bits == 1) return c.num_steps < 16 ? planes_tile<4> : planes_tile<6>;
    if (c.lane_bits == 8) {
        if (c.masks) return groups_tile<8, 8, true>;
        return t.num_blocks == 8 ? groups_tile<8, 8, false> : groups_tile<8, 16, false>;
    }
    if (c.masks) return groups_tile<16, 8, true>;
    return t.num_blocks == 8 ? groups_tile<16, 8, false> : groups_tile<16, 16, false>;
}

void run_groups(const evobit_conv &c, const evobit_epilogue &e, int32_t number, int64_t begin,
                int64_t end) {
    const evobit_tile &t = c.tiles[number];
    const GroupsTile tile = groups_tile_of(c, t);
    const int32_t row_units = (c.out_width + c.vector_pixels - 1) / c.vector_pixels;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t image = unit / c.num_units;
        const int32_t in_image = static_cast<int32_t>(unit - image * c.num_units);
        const int32_t row = in_image / row_units;
        const int32_t column = (in_image - row * row_units) * c.vector_pixels;
        const int32_t left = c.out_width - column;
        const int32_t pixels = left < c.vector_pixels ? left : c.vector_pixels;
        const int32_t first = row * c.out_width + column;
        const uint32_t *bits = c.input + image * c.image_words + c.pixel_offset[first] + t.word;
        tile(c, e, t, bits, image, first, pixels);
    }
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
