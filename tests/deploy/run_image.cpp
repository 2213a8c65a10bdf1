// Loads a program's image (tests/deploy/program_image.py) and runs uint8 images through it.
//   run_image IMAGE PIXELS NUM_IMAGES LOGITS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "../../deploy/native/plan.h"

static int64_t read_number(FILE *file) {
    int64_t number = 0;
    if (fread(&number, sizeof number, 1, file) != 1) exit(3);
    return number;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    FILE *file = fopen(argv[1], "rb");
    if (!file) return 2;
    std::vector<char *> regions(read_number(file));
    for (char *&region : regions) {
        const size_t size = read_number(file);
        const bool is_zero = read_number(file) != 0;
        region = static_cast<char *>(aligned_alloc(64, (size + 64 + 63) / 64 * 64));
        memset(region, 0, size);
        if (!is_zero && size && fread(region, size, 1, file) != 1) return 3;
    }
    for (int64_t left = read_number(file); left > 0; --left) {
        char *holder = regions[read_number(file)];
        holder += read_number(file);
        char *target = regions[read_number(file)];
        target += read_number(file);
        memcpy(holder, &target, sizeof target);
    }
    fclose(file);
    const evobit_plan *plan = reinterpret_cast<const evobit_plan *>(regions[0]);
    const int32_t count = atoi(argv[3]);
    std::vector<uint8_t> pixels(static_cast<size_t>(count) * plan->channels * plan->size * plan->size);
    std::vector<float> logits(static_cast<size_t>(count) * plan->num_classes);
    file = fopen(argv[2], "rb");
    if (!file || fread(pixels.data(), pixels.size(), 1, file) != 1) return 3;
    fclose(file);
    if (evobit_select(EVOBIT_PORTABLE) != 0) return 4;
    int32_t image = 0;
    const int32_t found =
        evobit_run_plan(plan, count, pixels.data(), 1, logits.data(), nullptr, &image);
    if (found != 0) return 10 + found;
    file = fopen(argv[4], "wb");
    if (!file || fwrite(logits.data(), sizeof(float), logits.size(), file) != logits.size()) return 5;
    return fclose(file) == 0 ? 0 : 5;
}
