// Packing and convolution by output-channel lanes. Included by each instruction set inside its own
// namespace, after its vectors_*.h and epilogue.h.
//
// Taps and words are one flat list of steps, so that the inner loop runs over all of a filter.

// Small loops over a tile are unrolled, which lets its counters live in registers.
#define UNROLLED _Pragma("GCC unroll 16")

// Counters narrower than 32 bits are added up after every MAX_STEPS steps.
constexpr bool FLUSHES = MAX_STEPS != INT32_MAX;

inline int32_t last_step(int32_t num_steps, int32_t begin) {
    return FLUSHES && num_steps - begin > MAX_STEPS ? begin + MAX_STEPS : num_steps;
}

// Popcounts of a tile, (block of 16 channels, pixel).
struct Stored {
    const Floats *popcounts;
    int32_t num_pixels;

    Floats operator()(int32_t p, int32_t channel) const {
        return popcounts[channel / 16 * num_pixels + p];
    }
};

inline bool is_plain(const evobit_epilogue &e) {
    return e.out && !e.bits && !e.counts && !e.residual && e.activation == EVOBIT_LINEAR;
}

// PIXELS pixels x BLOCKS vectors of 16 output channels. `plain`: the tile stays in registers.
template <int BLOCKS, int PIXELS, bool plain>
void lanes_tile(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
                const uint32_t *image_bits, int64_t image, int32_t first) {
    const uint32_t *pixels[PIXELS];
    Totals totals[BLOCKS][PIXELS];
    Partial partial[BLOCKS][PIXELS];
    UNROLLED for (int p = 0; p < PIXELS; ++p) {
        pixels[p] = image_bits + c.pixel_offset[first + p] + t.word;
        UNROLLED for (int b = 0; b < BLOCKS; ++b) {
            totals[b][p] = no_totals();
            partial[b][p] = no_partial();
        }
    }
    const uint32_t *weights = c.weights + t.weights;
    const int32_t *offsets = c.step_offset, num_steps = c.num_steps;
    const auto step = [&](int32_t s) INLINED {
        const int32_t offset = offsets[s];
        Words filters[BLOCKS];
        UNROLLED for (int b = 0; b < BLOCKS; ++b) filters[b] = load_words(weights + 16 * b);
        UNROLLED for (int p = 0; p < PIXELS; ++p) {
            const Words bits = broadcast_word(pixels[p][offset]);
            UNROLLED for (int b = 0; b < BLOCKS; ++b) {
                partial[b][p] = count_bits(partial[b][p], exclusive_or(filters[b], bits));
            }
        }
        weights += 16 * BLOCKS;
    };
    int32_t s = 0;
    do {
        const int32_t end = last_step(num_steps, s);
        step(s);  // outside the loop, where the compiler knows that all counters are 0
        while (++s < end) step(s);
        UNROLLED for (int b = 0; b < BLOCKS; ++b) {
            UNROLLED for (int p = 0; p < PIXELS; ++p) {
                totals[b][p] = flush(totals[b][p], partial[b][p]);
                partial[b][p] = no_partial();
            }
        }
    } while (FLUSHES && s < num_steps);
    // Copies: a store through `out` could change what `c` and `e` refer to.
    const evobit_conv map = c;
    const evobit_epilogue to = e;
    const int32_t channel = t.channel, num_channels = t.num_channels;
    if (plain && num_channels == 16 * BLOCKS) {
        const float *corrections[PIXELS];
        UNROLLED for (int p = 0; p < PIXELS; ++p) {
            corrections[p] = correction_of(map, first + p) + channel;
        }
        const int64_t width = map.out_channels;
        float *out = to.out + (image * map.num_pixels + first) * width + channel;
        UNROLLED for (int b = 0; b < BLOCKS; ++b) {
            const Floats scale = load(to.scale + channel + 16 * b, 16);
            const Floats bias = load(to.bias + channel + 16 * b, 16);
            UNROLLED for (int p = 0; p < PIXELS; ++p) {
                const Floats count = count_of(to_floats(totals[b][p]), corrections[p] + 16 * b, 16);
                store(out + p * width + 16 * b, fused(count, scale, bias), 16);
            }
        }
        return;
    }
    const Strip strip(map, to, image, first, PIXELS);
    Floats popcounts[BLOCKS][PIXELS];  // in memory, so that one epilogue serves all tiles
    UNROLLED for (int b = 0; b < BLOCKS; ++b) {
        UNROLLED for (int p = 0; p < PIXELS; ++p) popcounts[b][p] = to_floats(totals[b][p]);
    }
    finish(map, to, strip, channel, num_channels, Stored{popcounts[0], PIXELS});
}

// PIXELS pixels x 16 output channels whose groups may differ: every lane takes its own word.
template <int PIXELS>
void masked_tile(const evobit_conv &c, const evobit_epilogue &e, int32_t tile,
                 const uint32_t *image_bits, int64_t image, int32_t first) {
    const evobit_tile &t = c.tiles[tile];
    const int32_t *lane_words = c.lane_words + 16 * static_cast<int64_t>(tile);
    Totals totals[PIXELS];
    for (int p = 0; p < PIXELS; ++p) totals[p] = no_totals();
    for (int32_t s = 0; s < c.num_steps;) {
        Partial partial[PIXELS];
        for (int p = 0; p < PIXELS; ++p) partial[p] = no_partial();
        for (const int32_t end = last_step(c.num_steps, s); s < end; ++s) {
            const Words filter = load_words(c.weights + t.weights + 16 * static_cast<int64_t>(s));
            const Words mask = load_words(c.masks + t.weights + 16 * static_cast<int64_t>(s));
            for (int p = 0; p < PIXELS; ++p) {
                const uint32_t *bits =
                    image_bits + c.pixel_offset[first + p] + t.word + c.step_offset[s];
                const Words taken = pick_words(bits, lane_words, c.gathered);
                partial[p] = count_bits(partial[p], masked(exclusive_or(filter, taken), mask));
            }
        }
        for (int p = 0; p < PIXELS; ++p) totals[p] = flush(totals[p], partial[p]);
    }
    const Strip strip(c, e, image, first, PIXELS);
    Floats popcounts[PIXELS];
    for (int p = 0; p < PIXELS; ++p) popcounts[p] = to_floats(totals[p]);
    finish(c, e, strip, t.channel, t.num_channels, Stored{popcounts, PIXELS});
}

template <int BLOCKS, int PIXELS, bool plain>
void lanes_run(const evobit_conv &c, const evobit_epilogue &e, const evobit_tile &t,
               const uint32_t *bits, int64_t image, int32_t begin, int32_t end) {
    int32_t pixel = begin;
    for (; pixel + PIXELS <= end; pixel += PIXELS) {
        lanes_tile<BLOCKS, PIXELS, plain>(c, e, t, bits, image, pixel);
    }
    if constexpr (PIXELS > 1) {
        lanes_run<BLOCKS, PIXELS / 2, plain>(c, e, t, bits, image, pixel, end);
    }
}

template <int PIXELS>
void masked_run(const evobit_conv &c, const evobit_epilogue &e, int32_t tile, const uint32_t *bits,
                int64_t image, int32_t begin, int32_t end) {
    int32_t pixel = begin;
    for (; pixel + PIXELS <= end; pixel += PIXELS) {
        masked_tile<PIXELS>(c, e, tile, bits, image, pixel);
    }
    if constexpr (PIXELS > 1) {
        masked_run<PIXELS / 2>(c, e, tile, bits, image, pixel, end);
    }
}

template <bool plain>
void conv_image(const evobit_conv &c, const evobit_epilogue &e, int32_t tile, int64_t image,
                int32_t begin, int32_t end) {
    const evobit_tile &t = c.tiles[tile];
    const uint32_t *bits = c.input + image * c.image_words;
    if (c.kind == EVOBIT_MASKED) {
        masked_run<4>(c, e, tile, bits, image, begin, end);
    } else if (t.num_blocks == 4) {
        lanes_run<4, PIXELS_OF_4, plain>(c, e, t, bits, image, begin, end);
    } else if (t.num_blocks == 2) {
        lanes_run<2, 2 * PIXELS_OF_4, plain>(c, e, t, bits, image, begin, end);
    } else {
        lanes_run<1, 4 * PIXELS_OF_4, plain>(c, e, t, bits, image, begin, end);
    }
}

void conv_units(const evobit_conv &c, const evobit_epilogue &e, int32_t tile, int64_t begin,
                int64_t end) {
    while (begin < end) {
        const int64_t image = begin / c.num_units, start = image * c.num_units;
        const int64_t stop = end < start + c.num_units ? end : start + c.num_units;
        const int32_t from = static_cast<int32_t>(begin - start);
        const int32_t to = static_cast<int32_t>(stop - start);
        if (is_plain(e)) {
            conv_image<true>(c, e, tile, image, from, to);
        } else {
            conv_image<false>(c, e, tile, image, from, to);
        }
        begin = stop;
    }
}

// Signs of n channels of a pixel.
INLINED inline uint32_t signs_of(const evobit_pack &p, const float *x, int32_t channel, int32_t n) {
    const Floats limit = p.thresholds ? load(p.thresholds + channel, n) : broadcast(0.0f);
    return below(load(x + channel, n), limit) & ((1u << n) - 1);
}

// Signs of the rows [begin, end) of the batch, with the border beside, above and below them.
void pack_rows(const evobit_pack &p, int64_t begin, int64_t end) {
    const int64_t padded_width = p.width + 2 * p.padding, row_words = padded_width * p.num_words;
    const size_t side = sizeof(uint32_t) * p.padding * p.num_words;
    for (int64_t row = begin; row < end; ++row) {
        const int64_t image = row / p.height, y = row % p.height;
        const int64_t padded_row = image * (p.height + 2 * p.padding) + y + p.padding;
        uint32_t *words = p.bits + padded_row * row_words;
        const float *x = p.input + row * p.width * p.channels;
        if (y == 0) {
            __builtin_memset(words - p.padding * row_words, 0, 4 * p.padding * row_words);
        }
        __builtin_memset(words, 0, side);
        words += p.padding * p.num_words;
        for (int32_t column = 0; column < p.width; ++column, x += p.channels) {
            for (int32_t word = 0; word < p.num_words; ++word) {
                const int32_t channel = 32 * word, left = p.channels - channel;
                if (left >= 32) {  // alone, where the compiler knows that all lanes count
                    *words++ = signs_of(p, x, channel, 16) | signs_of(p, x, channel + 16, 16) << 16;
                } else if (left > 16) {
                    *words++ = signs_of(p, x, channel, 16) |
                               signs_of(p, x, channel + 16, left - 16) << 16;
                } else {
                    *words++ = signs_of(p, x, channel, left);
                }
            }
        }
        __builtin_memset(words, 0, side);
        words += p.padding * p.num_words;
        if (y == p.height - 1) __builtin_memset(words, 0, 4 * p.padding * row_words);
    }
}

int64_t peak_loop(int64_t iterations) {
    constexpr int CHAINS = 4 * PIXELS_OF_4;
    Partial partial[CHAINS];
    for (int i = 0; i < CHAINS; ++i) partial[i] = no_partial();
    Words one = broadcast_word(2654435761u * static_cast<uint32_t>(iterations));
    const Words other = broadcast_word(static_cast<uint32_t>(iterations));
    for (int64_t done = 0; done < iterations; ++done) {
        for (int i = 0; i < CHAINS; ++i) {
            hide(one);  // so that the compiler cannot know that the product repeats
            partial[i] = count_bits(partial[i], exclusive_or(one, other));
        }
    }
    float sink[16];
    for (int i = 0; i < CHAINS; ++i) {
        store(sink, to_floats(flush(no_totals(), partial[i])), 16);
        __asm__ volatile("" : : "r"(sink) : "memory");
    }
    return iterations * CHAINS * 512;
}
