// From popcounts to outputs. Included by each instruction set inside its own namespace, after its
// vectors_*.h: `Floats` are 16 fp32 lanes, of which the first n count.

#define INLINED __attribute__((always_inline))

// Adds bits to a pixel's words, from any channel on.
inline void put_bits(uint32_t *words, int32_t channel, uint32_t bits) {
    const int32_t shift = channel % 32;
    words[channel / 32] |= bits << shift;
    if (shift > 16 && bits >> (32 - shift)) words[channel / 32 + 1] |= bits >> (32 - shift);
}

// Stores 16 bits, from a channel on that begins half a word (words are little-endian).
inline void store_half(uint32_t *words, int32_t channel, uint32_t bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    __builtin_memcpy(reinterpret_cast<char *>(words) + channel / 8, &half, 2);
}

inline const float *correction_of(const evobit_conv &c, int32_t in_image) {
    return c.correction + static_cast<int64_t>(c.pixel_class[in_image]) * c.out_channels;
}

// Consecutive pixels of the batch: the border correction of each, and where its signs go.
struct Strip {
    int64_t first;  // in the batch
    int32_t num_pixels;
    const float *corrections[16];
    uint32_t *bits[16];

    Strip(const evobit_conv &c, const evobit_epilogue &e, int64_t image, int32_t in_image,
          int32_t num_pixels)
        : first(image * c.num_pixels + in_image), num_pixels(num_pixels) {
        if (e.bits) find_bits(c, e, image, in_image);
        for (int32_t p = 0; p < num_pixels; ++p) {
            corrections[p] = correction_of(c, in_image);
            if (++in_image == c.num_pixels) in_image = 0;
        }
    }

    void find_bits(const evobit_conv &c, const evobit_epilogue &e, int64_t image,
                   int32_t in_image) {
        const int64_t padding = e.bits_padding, width = e.bits_width + 2 * padding;
        int32_t row = in_image / c.out_width, column = in_image - row * c.out_width;
        for (int32_t p = 0; p < num_pixels; ++p) {
            const int64_t map_row = image * (e.bits_height + 2 * padding) + row + padding;
            bits[p] = e.bits + (map_row * width + column + padding) * e.bits_words;
            if (++column < c.out_width) continue;
            column = 0;
            if (++row == e.bits_height) row = 0, ++image;
        }
    }
};

// Exact: all terms are integers below 2^24.
inline Floats count_of(Floats popcounts, const float *correction, int32_t n) {
    return fused(broadcast(-2.0f), popcounts, load(correction, n));
}

// A residual of other channels is taken in a circle: the lanes that hold its end and its beginning.
inline Floats wrapped(const float *row, int64_t width, int32_t channel, int32_t n) {
    float both[16] = {0};
    int64_t from = channel;
    for (int32_t i = 0; i < n; ++i) {
        both[i] = row[from];
        if (++from == width) from = 0;
    }
    return load(both, n);
}

// Blocks of 16 channels, of which the compiler knows that all lanes count, and what is left.
template <typename Block>
inline void each_block(int32_t num_channels, Block block) {
    int32_t i = 0;
    for (; i + 16 <= num_channels; i += 16) block(i, 16);
    if (i < num_channels) block(i, num_channels - i);
}

// Scale and bias alone, pixel by pixel; popcounts(p, i) are those of 16 channels from the i-th on.
template <typename Popcounts>
void finish_plain(const evobit_conv &c, const evobit_epilogue &e, const Strip &strip,
                  int32_t channel, int32_t num_channels, Popcounts popcounts) {
    const float *const scale = e.scale + channel, *const bias = e.bias + channel;
    float *out = e.out + strip.first * c.out_channels + channel;
    for (int32_t p = 0; p < strip.num_pixels; ++p, out += c.out_channels) {
        const float *const correction = strip.corrections[p] + channel;
        each_block(num_channels, [=](int32_t i, int32_t n) INLINED {
            const Floats count = count_of(popcounts(p, i), correction + i, n);
            store(out + i, fused(count, load(scale + i, n), load(bias + i, n)), n);
        });
    }
}

// Any epilogue, channels outside: what a channel has is loaded once for all pixels of the strip.
template <int activation, bool has_residual, bool has_bits, typename Popcounts>
void finish_tile(const evobit_conv &c, const evobit_epilogue &e, const Strip &strip,
                 int32_t channel, int32_t num_channels, Popcounts popcounts) {
    constexpr bool prelu = activation == EVOBIT_PRELU, rprelu = activation == EVOBIT_RPRELU;
    const Floats zero = broadcast(0.0f);
    const int32_t num_pixels = strip.num_pixels, out_channels = c.out_channels;
    const int32_t width = e.residual_channels;
    each_block(num_channels, [&](int32_t i, int32_t n) INLINED {
        const int32_t at = channel + i, from = has_residual ? at % width : at;
        const Floats scale = load(e.scale + at, n), bias = load(e.bias + at, n);
        const Floats slope = prelu ? load(e.slope + at, n) : rprelu ? load(e.beta + at, n) : zero;
        const Floats gamma = rprelu ? load(e.gamma + at, n) : zero;
        const Floats zeta = rprelu ? load(e.zeta + at, n) : zero;
        const Floats limit = has_bits && e.thresholds ? load(e.thresholds + at, n) : zero;
        const bool wraps = has_residual && from + n > width;
        const bool half = at % 16 == 0 && (n == 16 || at + n == out_channels);
        const float *row = has_residual ? e.residual + strip.first * width : nullptr;
        float *out = e.out ? e.out + strip.first * out_channels + at : nullptr;
        for (int32_t p = 0; p < num_pixels; ++p) {
            Floats y = fused(count_of(popcounts(p, i), strip.corrections[p] + at, n), scale, bias);
            if (has_residual) {
                y = add(y, wraps ? wrapped(row, width, from, n) : load(row + from, n));
                row += width;
            }
            if (rprelu) y = subtract(y, gamma);
            if (prelu || rprelu) y = leaky(y, slope);
            if (rprelu) y = add(y, zeta);
            if (!has_bits || out) {
                store(out, y, n);
                out += out_channels;
            }
            if (has_bits) {
                const uint32_t bits = below(y, limit) & ((1u << n) - 1);
                half ? store_half(strip.bits[p], at, bits) : put_bits(strip.bits[p], at, bits);
            }
        }
    });
}

template <typename Popcounts>
void store_counts(const evobit_conv &c, const evobit_epilogue &e, const Strip &strip,
                  int32_t channel, int32_t num_channels, Popcounts popcounts) {
    int32_t *const out = e.counts + strip.first * c.out_channels + channel;
    for (int32_t p = 0; p < strip.num_pixels; ++p) {
        each_block(num_channels, [&](int32_t i, int32_t n) INLINED {
            const float *correction = strip.corrections[p] + channel + i;
            const Floats counts = count_of(popcounts(p, i), correction, n);
            store_integers(out + p * static_cast<int64_t>(c.out_channels) + i, counts, n);
        });
    }
}

template <int activation, typename Popcounts>
void finish_activated(const evobit_conv &c, const evobit_epilogue &e, const Strip &strip,
                      int32_t channel, int32_t num_channels, Popcounts popcounts) {
    const auto run = [&](auto tile) INLINED {
        tile(c, e, strip, channel, num_channels, popcounts);
    };
    if (e.residual && e.bits) return run(finish_tile<activation, true, true, Popcounts>);
    if (e.residual) return run(finish_tile<activation, true, false, Popcounts>);
    if (e.bits) return run(finish_tile<activation, false, true, Popcounts>);
    if (activation == EVOBIT_LINEAR) return run(finish_plain<Popcounts>);
    run(finish_tile<activation, false, false, Popcounts>);
}

// The channels [channel, channel + num_channels) of a strip, in the form for this epilogue.
template <typename Popcounts>
void finish(const evobit_conv &c, const evobit_epilogue &e, const Strip &strip, int32_t channel,
            int32_t num_channels, Popcounts popcounts) {
    const auto run = [&](auto tile) INLINED {
        tile(c, e, strip, channel, num_channels, popcounts);
    };
    if (e.counts) return run(store_counts<Popcounts>);
    if (e.activation == EVOBIT_PRELU) return run(finish_activated<EVOBIT_PRELU, Popcounts>);
    if (e.activation == EVOBIT_RPRELU) return run(finish_activated<EVOBIT_RPRELU, Popcounts>);
    run(finish_activated<EVOBIT_LINEAR, Popcounts>);
}
