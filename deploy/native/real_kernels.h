// Real convolutions and pools. Included by each instruction set inside its own namespace, after its
// vectors_*.h, epilogue.h and kernels.h, and after it has defined
//   REAL_BLOCKS, REAL_PIXELS  the tile of 16-lane vectors x pixels whose sums fill its registers
//   Sums                      16 sums, with load_sums(p) and floats_of(sums)
//   multiply_add(x, f, sums)  x * f + sums, rounded as it likes

// What `finish` needs to know of the convolution; see evobit_real_conv.
inline evobit_conv frame_of(const evobit_real_conv &r) {
    evobit_conv frame = {};
    frame.out_channels = r.out_channels;
    frame.num_pixels = r.num_pixels;
    frame.out_width = r.out_width;
    frame.pixel_class = r.pixel_class;
    frame.correction = r.correction;
    return frame;
}

// PIXELS pixels of the batch from `first` on x BLOCKS blocks of a tile from `block` on.
template <int BLOCKS, int PIXELS>
void real_tile(const evobit_real_conv &r, const evobit_conv &frame, const evobit_epilogue &e,
               const evobit_tile &t, int32_t block, int64_t first) {
    const float *pixels[PIXELS];
    static const float zeros[16] = {0};
    Sums sums[BLOCKS][PIXELS];
    const int64_t image = first / r.num_pixels;
    const int32_t in_image = static_cast<int32_t>(first - image * r.num_pixels);
    int64_t at = image;
    int32_t pixel = in_image;
    UNROLLED for (int p = 0; p < PIXELS; ++p) {
        pixels[p] = r.input + at * r.image_values + r.pixel_offset[pixel] + t.word;
        if (++pixel == r.num_pixels) pixel = 0, ++at;
        UNROLLED for (int b = 0; b < BLOCKS; ++b) sums[b][p] = load_sums(zeros);
    }
    const int64_t block_weights = static_cast<int64_t>(16) * r.num_runs * r.run_length;
    const float *weights = r.weights + t.weights + block * block_weights;
    for (int32_t run = 0; run < r.num_runs; ++run) {
        const int64_t begin = r.run_offset[run], end = begin + r.run_length;
        for (int64_t i = begin; i < end; ++i, weights += 16) {
            Sums filters[BLOCKS];
            UNROLLED for (int b = 0; b < BLOCKS; ++b) {
                filters[b] = load_sums(weights + b * block_weights);
            }
            UNROLLED for (int p = 0; p < PIXELS; ++p) {
                const float x = pixels[p][i];
                UNROLLED for (int b = 0; b < BLOCKS; ++b) {
                    sums[b][p] = multiply_add(x, filters[b], sums[b][p]);
                }
            }
        }
    }
    const evobit_epilogue to = e;  // a store through `out` could change what `e` refers to
    const int32_t lane = 16 * block, left = t.num_channels - lane;
    const Strip strip(frame, to, image, in_image, PIXELS);
    Floats stored[BLOCKS][PIXELS];  // in memory, so that one epilogue serves all tiles
    UNROLLED for (int b = 0; b < BLOCKS; ++b) {
        UNROLLED for (int p = 0; p < PIXELS; ++p) stored[b][p] = floats_of(sums[b][p]);
    }
    finish(frame, to, strip, t.channel + lane, left < 16 * BLOCKS ? left : 16 * BLOCKS,
           Stored{stored[0], PIXELS});
}

template <int BLOCKS, int PIXELS>
void real_run(const evobit_real_conv &r, const evobit_conv &frame, const evobit_epilogue &e,
              const evobit_tile &t, int32_t block, int64_t begin, int64_t end) {
    int64_t pixel = begin;
    for (; pixel + PIXELS <= end; pixel += PIXELS) {
        real_tile<BLOCKS, PIXELS>(r, frame, e, t, block, pixel);
    }
    if constexpr (PIXELS > 1) {
        real_run<BLOCKS, PIXELS / 2>(r, frame, e, t, block, pixel, end);
    }
}

template <int BLOCKS, int PIXELS>
void real_blocks(const evobit_real_conv &r, const evobit_epilogue &e, const evobit_tile &t,
                 int64_t begin, int64_t end) {
    if (t.num_blocks < BLOCKS) {
        constexpr int WIDER = PIXELS > 8 ? PIXELS : 2 * PIXELS;  // 16 at most
        if constexpr (BLOCKS > 1) real_blocks<BLOCKS / 2, WIDER>(r, e, t, begin, end);
        return;
    }
    const evobit_conv frame = frame_of(r);
    for (int32_t block = 0; block < t.num_blocks; block += BLOCKS) {
        real_run<BLOCKS, PIXELS>(r, frame, e, t, block, begin, end);
    }
}

void real_pixels(const evobit_real_conv &r, const evobit_epilogue &e, int32_t tile, int64_t begin,
                 int64_t end) {
    real_blocks<REAL_BLOCKS, REAL_PIXELS>(r, e, r.tiles[tile], begin, end);
}

// Channels [channel, channel + n) of the window rows [y0, y1) x columns [x0, x1).
template <bool is_max>
inline Floats pooled(const evobit_pool &p, const float *image, int32_t channel, int32_t n,
                     int32_t y0, int32_t y1, int32_t x0, int32_t x1) {
    Floats all = broadcast(0.0f);
    for (int32_t y = y0; y < y1; ++y) {
        const float *at = image + (static_cast<int64_t>(y) * p.width + x0) * p.channels + channel;
        Floats row = load(at, n);  // added up row by row: fewer roundings than one long sum
        for (int32_t x = x0 + 1; x < x1; ++x) {
            const Floats value = load(at += p.channels, n);
            row = is_max ? where_positive(subtract(value, row), value, row) : add(row, value);
        }
        if (y == y0) {
            all = row;
        } else {
            all = is_max ? where_positive(subtract(row, all), row, all) : add(all, row);
        }
    }
    return all;
}

template <bool is_max>
void pool_kind(const evobit_pool &p, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
        const int64_t image = row / p.out_height;
        const int32_t top = static_cast<int32_t>(row % p.out_height) * p.stride - p.padding;
        const int32_t y0 = top > 0 ? top : 0;
        const int32_t y1 = top + p.window_height < p.height ? top + p.window_height : p.height;
        const float *input = p.input + image * p.height * p.width * p.channels;
        float *out = p.out + row * p.out_width * p.channels;
        for (int32_t column = 0; column < p.out_width; ++column, out += p.channels) {
            const int32_t left = column * p.stride - p.padding;
            const int32_t x0 = left > 0 ? left : 0;
            const int32_t x1 = left + p.window_width < p.width ? left + p.window_width : p.width;
            const Floats share = broadcast(1.0f / static_cast<float>((y1 - y0) * (x1 - x0)));
            for (int32_t channel = 0; channel < p.channels; channel += 16) {
                const int32_t n = p.channels - channel < 16 ? p.channels - channel : 16;
                const Floats all = pooled<is_max>(p, input, channel, n, y0, y1, x0, x1);
                store(out + channel, is_max ? all : multiply(all, share), n);
            }
        }
    }
}

void pool_rows(const evobit_pool &p, int64_t begin, int64_t end) {
    if (p.is_max) {
        pool_kind<true>(p, begin, end);
    } else {
        pool_kind<false>(p, begin, end);
    }
}

// Doubles in vectors that every compiler lowers to what the machine has.
typedef float FourFloats __attribute__((vector_size(16)));
typedef double FourDoubles __attribute__((vector_size(32)));

// Sums of 16 columns.
void moments_of_16(const evobit_moments &m, int64_t column) {
    FourDoubles sums[4] = {}, squares[4] = {};
    const float *x = m.input + column;
    for (int64_t row = 0; row < m.num_rows; ++row, x += m.width) {
        UNROLLED for (int i = 0; i < 4; ++i) {
            FourFloats narrow;
            __builtin_memcpy(&narrow, x + 4 * i, sizeof narrow);
            const FourDoubles values = __builtin_convertvector(narrow, FourDoubles);
            sums[i] += values;
            squares[i] += values * values;
        }
    }
    __builtin_memcpy(m.sums + column, sums, sizeof sums);
    __builtin_memcpy(m.squares + column, squares, sizeof squares);
}

void moment_columns(const evobit_moments &m, int64_t begin, int64_t end) {
    int64_t column = begin;
    for (; column + 16 <= end; column += 16) moments_of_16(m, column);
    for (; column < end; ++column) {
        double sum = 0, squares = 0;
        for (int64_t row = 0; row < m.num_rows; ++row) {
            const double value = m.input[row * m.width + column];
            sum += value;
            squares += value * value;
        }
        m.sums[column] = sum;
        m.squares[column] = squares;
    }
}
