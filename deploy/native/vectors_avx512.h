// 16 lanes in one 512-bit register. Included inside the namespace of an AVX-512 source.

using Words = __m512i;
using Partial = __m512i;
using Totals = __m512i;
using Floats = __m512;

constexpr int32_t MAX_STEPS = INT32_MAX;  // counters of 32 bits need no flush
constexpr int PIXELS_OF_4 = 4;            // 4 vectors of outputs x 4 pixels = 16 counters

inline __mmask16 first_lanes(int32_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline Words load_words(const uint32_t *p) { return _mm512_loadu_si512(p); }
inline Words broadcast_word(uint32_t word) { return _mm512_set1_epi32(static_cast<int>(word)); }
inline Words exclusive_or(Words a, Words b) { return _mm512_xor_si512(a, b); }
inline Words masked(Words a, Words mask) { return _mm512_and_si512(a, mask); }
inline Words pick_words(const uint32_t *bits, const int32_t *lanes, bool gathered) {
    const __m512i index = _mm512_loadu_si512(lanes);
    if (gathered) return _mm512_i32gather_epi32(index, bits, 4);
    return _mm512_permutexvar_epi32(index, _mm512_loadu_si512(bits));
}
inline void hide(Words &words) { __asm__ volatile("" : "+v"(words)); }

inline Partial no_partial() { return _mm512_setzero_si512(); }
inline Totals no_totals() { return _mm512_setzero_si512(); }
inline Partial count_bits(Partial sum, Words words) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(words));
}
inline Totals flush(Totals totals, Partial partial) { return _mm512_add_epi32(totals, partial); }
inline Floats to_floats(Totals totals) { return _mm512_cvtepi32_ps(totals); }

inline Floats broadcast(float x) { return _mm512_set1_ps(x); }
inline Floats load(const float *p, int32_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store(float *p, Floats x, int32_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), x); }
inline void store_integers(int32_t *p, Floats x, int32_t n) {
    _mm512_mask_storeu_epi32(p, first_lanes(n), _mm512_cvtps_epi32(x));
}
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats where_positive(Floats x, Floats a, Floats b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a);
}
// x where x > 0, else slope * x.
inline Floats leaky(Floats x, Floats slope) {
    const __mmask16 sloped = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NGT_UQ);
    return _mm512_mask_mul_ps(x, sloped, x, slope);
}
// Bit i: not x >= limit (so a NaN is negative, as it is to `x >= 0`).
inline uint32_t below(Floats x, Floats limit) { return _mm512_cmp_ps_mask(x, limit, _CMP_NGE_UQ); }
