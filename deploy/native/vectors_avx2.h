// 16 lanes in two 256-bit registers. Included inside the namespace of an AVX2 source.

struct Words {
    __m256i low, high;
};
using Partial = Words;  // bytes
using Totals = Words;   // 32-bit integers
struct Floats {
    __m256 low, high;
};

constexpr int32_t MAX_STEPS = 31;  // 31 x 8 bits fit a byte
constexpr int PIXELS_OF_4 = 1;     // 4 x 2 registers of counters, and 6 to work with

inline Words load_words(const uint32_t *p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + 8))};
}
inline Words broadcast_word(uint32_t word) {
    const __m256i all = _mm256_set1_epi32(static_cast<int>(word));
    return {all, all};
}
inline Words exclusive_or(Words a, Words b) {
    return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
inline Words masked(Words a, Words mask) {
    return {_mm256_and_si256(a.low, mask.low), _mm256_and_si256(a.high, mask.high)};
}
inline Words pick_words(const uint32_t *bits, const int32_t *lanes, bool) {
    const Words index = load_words(reinterpret_cast<const uint32_t *>(lanes));
    const int *words = reinterpret_cast<const int *>(bits);
    return {_mm256_i32gather_epi32(words, index.low, 4),
            _mm256_i32gather_epi32(words, index.high, 4)};
}
inline void hide(Words &words) { __asm__ volatile("" : "+x"(words.low), "+x"(words.high)); }

inline Words zero_words() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Partial no_partial() { return zero_words(); }
inline Totals no_totals() { return zero_words(); }

// Bits of each byte, by a table of the 16 half bytes.
inline __m256i bits_of_bytes(__m256i x) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), half);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, half)),
                           _mm256_shuffle_epi8(table, upper));
}
inline Partial count_bits(Partial sum, Words words) {
    return {_mm256_add_epi8(sum.low, bits_of_bytes(words.low)),
            _mm256_add_epi8(sum.high, bits_of_bytes(words.high))};
}
inline __m256i sum_of_bytes(__m256i x) {
    const __m256i pairs = _mm256_maddubs_epi16(x, _mm256_set1_epi8(1));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
inline Totals flush(Totals totals, Partial partial) {
    return {_mm256_add_epi32(totals.low, sum_of_bytes(partial.low)),
            _mm256_add_epi32(totals.high, sum_of_bytes(partial.high))};
}
inline Floats to_floats(Totals totals) {
    return {_mm256_cvtepi32_ps(totals.low), _mm256_cvtepi32_ps(totals.high)};
}

inline Floats broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats load(const float *p, int32_t n) {
    if (n == 16) return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
    float all[16] = {0};
    __builtin_memcpy(all, p, sizeof(float) * static_cast<size_t>(n));
    return {_mm256_loadu_ps(all), _mm256_loadu_ps(all + 8)};
}
inline void store(float *p, Floats x, int32_t n) {
    float all[16];
    float *to = n == 16 ? p : all;
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
    if (n != 16) __builtin_memcpy(p, all, sizeof(float) * static_cast<size_t>(n));
}
inline void store_integers(int32_t *p, Floats x, int32_t n) {
    int32_t all[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(all), _mm256_cvtps_epi32(x.low));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(all + 8), _mm256_cvtps_epi32(x.high));
    __builtin_memcpy(p, all, sizeof(int32_t) * static_cast<size_t>(n));
}
inline Floats add(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Floats subtract(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Floats multiply(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Floats fused(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline __m256 blend_positive(__m256 x, __m256 a, __m256 b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}
inline Floats where_positive(Floats x, Floats a, Floats b) {
    return {blend_positive(x.low, a.low, b.low), blend_positive(x.high, a.high, b.high)};
}
// x where x > 0, else slope * x.
inline Floats leaky(Floats x, Floats slope) { return where_positive(x, x, multiply(x, slope)); }
// Bit i: not x >= limit (so a NaN is negative, as it is to `x >= 0`).
inline uint32_t below(Floats x, Floats limit) {
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(x.low, limit.low, _CMP_NGE_UQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(x.high, limit.high, _CMP_NGE_UQ));
    return static_cast<uint32_t>(low | high << 8);
}
