// 16 lanes as arrays, in loops that compilers turn into vectors. Included inside a namespace.

struct Words {
    uint32_t lane[16];
};
using Partial = Words;
using Totals = Words;
struct Floats {
    float lane[16];
};

constexpr int32_t MAX_STEPS = INT32_MAX;  // counters of 32 bits need no flush
constexpr int PIXELS_OF_4 = 1;

template <typename Result, typename Function>
inline Result each(Function function) {
    Result result;
    for (int i = 0; i < 16; ++i) result.lane[i] = function(i);
    return result;
}

inline uint32_t bits_of(uint32_t x) {
#if defined(__aarch64__)
    return static_cast<uint32_t>(__builtin_popcount(x));  // one instruction a vector
#else
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    x += x >> 8;
    return (x + (x >> 16)) & 63u;
#endif
}

inline Words load_words(const uint32_t *p) {
    return each<Words>([=](int i) { return p[i]; });
}
inline Words broadcast_word(uint32_t word) {
    return each<Words>([=](int) { return word; });
}
inline Words exclusive_or(const Words &a, const Words &b) {
    return each<Words>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
inline Words masked(const Words &a, const Words &mask) {
    return each<Words>([&](int i) { return a.lane[i] & mask.lane[i]; });
}
inline Words pick_words(const uint32_t *bits, const int32_t *lanes, bool) {
    return each<Words>([=](int i) { return bits[lanes[i]]; });
}
inline void hide(Words &words) { __asm__ volatile("" : : "r"(&words) : "memory"); }

inline Partial no_partial() { return broadcast_word(0); }
inline Totals no_totals() { return broadcast_word(0); }
inline Partial count_bits(const Partial &sum, const Words &words) {
    return each<Partial>([&](int i) { return sum.lane[i] + bits_of(words.lane[i]); });
}
inline Totals flush(const Totals &totals, const Partial &partial) {
    return each<Totals>([&](int i) { return totals.lane[i] + partial.lane[i]; });
}
inline Floats to_floats(const Totals &totals) {
    return each<Floats>([&](int i) {
        return static_cast<float>(static_cast<int32_t>(totals.lane[i]));
    });
}

inline Floats broadcast(float x) {
    return each<Floats>([=](int) { return x; });
}
inline Floats load(const float *p, int32_t n) {
    if (n == 16) return each<Floats>([=](int i) { return p[i]; });
    return each<Floats>([=](int i) { return i < n ? p[i] : 0.0f; });
}
inline void store(float *p, const Floats &x, int32_t n) {
    for (int i = 0; i < n; ++i) p[i] = x.lane[i];
}
inline void store_integers(int32_t *p, const Floats &x, int32_t n) {
    for (int i = 0; i < n; ++i) p[i] = static_cast<int32_t>(x.lane[i]);
}
inline Floats add(const Floats &a, const Floats &b) {
    return each<Floats>([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Floats subtract(const Floats &a, const Floats &b) {
    return each<Floats>([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline Floats multiply(const Floats &a, const Floats &b) {
    return each<Floats>([&](int i) { return a.lane[i] * b.lane[i]; });
}
// One rounding, as a fused multiply-add has: a count times a float is exact in a double.
inline Floats fused(const Floats &a, const Floats &b, const Floats &c) {
    return each<Floats>([&](int i) {
        return static_cast<float>(static_cast<double>(a.lane[i]) * b.lane[i] + c.lane[i]);
    });
}
inline Floats where_positive(const Floats &x, const Floats &a, const Floats &b) {
    return each<Floats>([&](int i) { return x.lane[i] > 0 ? a.lane[i] : b.lane[i]; });
}
// x where x > 0, else slope * x.
inline Floats leaky(const Floats &x, const Floats &slope) {
    return where_positive(x, x, multiply(x, slope));
}
// Bit i: not x >= limit (so a NaN is negative, as it is to `x >= 0`).
inline uint32_t below(const Floats &x, const Floats &limit) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(!(x.lane[i] >= limit.lane[i])) << i;
    return bits;
}
