// Runs a network: step after step, batch after batch.
#include "plan.h"

#include <math.h>
#include <string.h>

#include <chrono>

#include "real.h"

namespace {

// A step's operands for `batch` images.
template <typename Operands>
Operands operands_of(const evobit_step &step, int32_t batch) {
    Operands operands = *static_cast<const Operands *>(step.operands);
    operands.batch = batch;
    return operands;
}

template <typename Operands>
Operands convolution_of(const evobit_step &step, int32_t batch) {
    const Operands &whole = *static_cast<const Operands *>(step.operands);
    Operands operands = operands_of<Operands>(step, batch);
    operands.num_macs = whole.num_macs / whole.batch * batch;
    return operands;
}

int32_t run_step(const evobit_step &step, int32_t batch, const void *images, bool is_uint8,
                 int32_t *image) {
    switch (step.kind) {
        case EVOBIT_STEP_INPUT: {
            const evobit_input &input = *static_cast<const evobit_input *>(step.operands);
            *image = evobit::run_input(input, batch, images, is_uint8);
            return *image < batch ? EVOBIT_BAD_IMAGE : 0;
        }
        case EVOBIT_STEP_PAD:
            evobit::run_pad(operands_of<evobit_pad>(step, batch));
            return 0;
        case EVOBIT_STEP_PACK: {
            const evobit_pack pack = operands_of<evobit_pack>(step, batch);
            return evobit_run_pack(&pack) == 0 ? 0 : EVOBIT_OTHER_ISA;
        }
        case EVOBIT_STEP_BINARY_CONV: {
            const evobit_conv conv = convolution_of<evobit_conv>(step, batch);
            return evobit_run_conv(&conv, step.epilogue) == 0 ? 0 : EVOBIT_OTHER_ISA;
        }
        case EVOBIT_STEP_REAL_CONV:
            evobit::run_real_conv(convolution_of<evobit_real_conv>(step, batch), *step.epilogue);
            return 0;
        default:
            evobit::run_pool(operands_of<evobit_pool>(step, batch));
            return 0;
    }
}

bool all_finite(const float *values, int64_t count) {
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) finite &= isfinite(values[i]) != 0;
    return finite;
}

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

int32_t evobit_run_plan(const evobit_plan *plan, int32_t batch, const void *images,
                        int32_t is_uint8, float *logits, int64_t *nanoseconds, int32_t *image) {
    const int64_t image_values = static_cast<int64_t>(plan->channels) * plan->size * plan->size;
    const int64_t image_bytes = image_values * (is_uint8 ? 1 : static_cast<int64_t>(sizeof(float)));
    for (int32_t first = 0; first < batch; first += plan->batch) {
        const int32_t count = batch - first < plan->batch ? batch - first : plan->batch;
        const void *taken = static_cast<const char *>(images) + first * image_bytes;
        for (int32_t i = 0; i < plan->num_steps; ++i) {
            const int64_t start = nanoseconds ? now_ns() : 0;
            int32_t bad = 0;
            const int32_t found = run_step(plan->steps[i], count, taken, is_uint8 != 0, &bad);
            if (found != 0) {
                *image = first + bad;
                return found;
            }
            if (nanoseconds) nanoseconds[i] += now_ns() - start;
        }
        for (int32_t i = 0; i < count; ++i) {
            const float *row = plan->logits + static_cast<int64_t>(i) * plan->num_classes;
            if (!all_finite(row, plan->num_classes)) {
                *image = first + i;
                return EVOBIT_BAD_LOGITS;
            }
            memcpy(logits + static_cast<int64_t>(first + i) * plan->num_classes, row,
                   sizeof(float) * static_cast<size_t>(plan->num_classes));
        }
    }
    return 0;
}
