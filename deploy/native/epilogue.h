// From popcounts to outputs. Included by each instruction set inside its own namespace, after its
// vectors_*.h: `Floats` are 16 fp32 lanes, of which the first n count.

inline Floats residual_of(const evobit_conv &c, const evobit_epilogue &e, int64_t pixel,
                          int32_t channel, int32_t n) {
    const int32_t width = e.residual_channels;
    const float *row = e.residual + pixel * width;
    if (width == c.out_channels || channel + n <= width) return load(row + channel, n);
    if (channel >= width) return load(row + channel - width, n);
    float both[16] = {0};
    for (int32_t i = 0; i < n; ++i) both[i] = row[(channel + i) % width];
    return load(both, n);
}

// Stores a whole half word, or what ends the pixel; adds what shares its half word with others.
inline void put_bits(const evobit_conv &c, uint32_t *words, int32_t channel, int32_t n,
                     uint32_t bits) {
    if (channel % 16 == 0 && (n == 16 || channel + n == c.out_channels)) {
        const uint16_t half = static_cast<uint16_t>(bits);
        __builtin_memcpy(reinterpret_cast<char *>(words) + channel / 8, &half, 2);  // little-endian
        return;
    }
    const int32_t shift = channel % 32;
    words[channel / 32] |= bits << shift;
    if (shift > 16 && bits >> (32 - shift)) words[channel / 32 + 1] |= bits >> (32 - shift);
}

inline bool is_plain(const evobit_epilogue &e) {
    return e.out && !e.bits && !e.counts && !e.residual && e.activation == EVOBIT_LINEAR;
}

// Where a pixel's outputs go and which border correction it has.
struct Place {
    int64_t pixel;
    const float *correction;
    uint32_t *bits;
};

template <bool plain>
inline Place place_of(const evobit_conv &c, const evobit_epilogue &e, int64_t image,
                      int32_t in_image) {
    const int64_t border = static_cast<int64_t>(c.pixel_class[in_image]) * c.out_channels;
    Place place = {image * c.num_pixels + in_image, c.correction + border, nullptr};
    if (!plain && e.bits) {
        const int32_t padding = e.bits_padding, row = in_image / c.out_width;
        const int32_t column = in_image - row * c.out_width;
        const int64_t padded_width = e.bits_width + 2 * padding;
        const int64_t padded_row = image * (e.bits_height + 2 * padding) + row + padding;
        place.bits = e.bits + (padded_row * padded_width + column + padding) * e.bits_words;
    }
    return place;
}

// Exact: all terms are integers below 2^24.
inline Floats count_of(Floats popcounts, const float *correction, int32_t n) {
    return fused(broadcast(-2.0f), popcounts, load(correction, n));
}

// One pixel, channels [channel, channel + n). `plain`: fp32 out, no residual, no activation.
template <bool plain>
inline void finish(const evobit_conv &c, const evobit_epilogue &e, const Place &place,
                   Floats popcounts, int32_t channel, int32_t n) {
    const int64_t at = place.pixel * c.out_channels + channel;
    const Floats count = count_of(popcounts, place.correction + channel, n);
    if (!plain && e.counts) return store_integers(e.counts + at, count, n);
    Floats y = fused(count, load(e.scale + channel, n), load(e.bias + channel, n));
    if (!plain) {
        if (e.residual) y = add(y, residual_of(c, e, place.pixel, channel, n));
        if (e.activation == EVOBIT_PRELU) {
            y = where_positive(y, y, multiply(y, load(e.slope + channel, n)));
        } else if (e.activation == EVOBIT_RPRELU) {
            y = subtract(y, load(e.gamma + channel, n));
            y = where_positive(y, y, multiply(y, load(e.beta + channel, n)));
            y = add(y, load(e.zeta + channel, n));
        }
    }
    if (plain || e.out) store(e.out + at, y, n);
    if (!plain && place.bits) {
        const Floats limit = e.thresholds ? load(e.thresholds + channel, n) : broadcast(0.0f);
        put_bits(c, place.bits, channel, n, below(y, limit) & ((1u << n) - 1));
    }
}
