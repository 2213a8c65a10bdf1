// The C interface of whole networks: steps on one arena, all run by one call.
//
// Maps are NHWC fp32. Every step is laid out for the plan's greatest batch; `batch` in a step's
// operands is that number, and a call with fewer images runs the first ones only.
#pragma once

#include "evobit.h"

enum {
    EVOBIT_STEP_INPUT = 0,
    EVOBIT_STEP_PAD = 1,
    EVOBIT_STEP_PACK = 2,         // operands: evobit_pack
    EVOBIT_STEP_BINARY_CONV = 3,  // operands: evobit_conv, and an epilogue
    EVOBIT_STEP_REAL_CONV = 4,    // operands: evobit_real_conv, and an epilogue
    EVOBIT_STEP_POOL = 5,
};

// What a call found; 0: all is well.
enum { EVOBIT_OTHER_ISA = 1, EVOBIT_BAD_IMAGE = 2, EVOBIT_BAD_LOGITS = 3 };

// Images (channels, size, size) to a map with a border of zeros.
struct evobit_input {
    int32_t channels, size, padding, reserved;
    const float *levels;  // (channels, 256): the value of each level of a uint8 image
    float *out;           // (batch, size + 2 padding, size + 2 padding, channels)
};

// A map with a border of zeros.
struct evobit_pad {
    int32_t batch, height, width, channels, padding, reserved;
    const float *input;
    float *out;  // (batch, height + 2 padding, width + 2 padding, channels)
};

// Windows that may begin and end outside the map; only the pixels inside count.
struct evobit_pool {
    int32_t batch, height, width, channels, out_height, out_width;
    int32_t window_height, window_width, stride, padding;
    int32_t is_max, reserved;  // else the average
    const float *input;
    float *out;
};

// A real convolution. Its input has the border that its padding asks for. A filter is a list of
// runs of input values that lie side by side; `tiles` are 1, 2 or 4 blocks of 16 outputs of one
// group, whose `word` is the group's first channel and whose weights are (block, step, 16).
struct evobit_real_conv {
    int32_t batch, out_channels, num_tiles, num_runs, run_length;
    int32_t num_pixels;  // output pixels an image
    int32_t out_width;   // output pixels a row
    int32_t group_outputs;
    int64_t image_values;         // of one image of the input, border included
    int64_t num_macs;             // of the whole batch
    const float *input;
    const struct evobit_tile *tiles;
    const float *weights;
    const int32_t *run_offset;    // (num_runs) values from a pixel's first to the run's
    const int32_t *pixel_offset;  // (num_pixels) values from the image's first to a pixel's
    // For the epilogue that binary convolutions have: a sum is handed to it as a popcount of the
    // only border class, whose correction is 0, and a scale of -0.5 undoes its factor of -2.
    const int32_t *pixel_class;   // (num_pixels) zeros
    const float *correction;      // (out_channels) zeros
};

struct evobit_step {
    int32_t kind, reserved;
    const void *operands;
    const struct evobit_epilogue *epilogue;
};

struct evobit_plan {
    int32_t batch, num_steps, channels, size, num_classes, reserved;
    const struct evobit_step *steps;
    const float *logits;  // (batch, num_classes), written by the last steps
};

// Runs `batch` images (channels, size, size), uint8 levels or fp32 ready for the network, into
// `logits` (batch, num_classes). Nothing is allocated. `nanoseconds` (num_steps) or null: each
// step's time is added. `image` is set where an image or its logits hold a NaN or an infinity.
EVOBIT_API int32_t evobit_run_plan(const struct evobit_plan *plan, int32_t batch,
                                   const void *images, int32_t is_uint8, float *logits,
                                   int64_t *nanoseconds, int32_t *image);
