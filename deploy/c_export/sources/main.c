/* Classifies images: one line each, tab-separated: file, number, class, name, logits.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A file is a binary PGM (grey) or PPM (colour) image of the network's size, or any number of raw
 * images of @NAME@_IMAGE_BYTES bytes, (channel, row, column), one level a byte.
 */
#include <stdio.h>
#include <string.h>

#include "model.h"

enum {
    CHANNELS = @NAME@_CHANNELS,
    SIZE = @NAME@_SIZE,
    PIXELS = SIZE * SIZE
};

static uint8_t pixels[@NAME@_IMAGE_BYTES]; /* as a file holds them */
static uint8_t planes[@NAME@_IMAGE_BYTES]; /* as the network takes them */

static int fail(const char *path, const char *reason)
{
    fprintf(stderr, "%s: %s\n", path, reason);
    return 2;
}

/* A class name as one column: what would end it or its line, or move a cursor, as an octal. */
static void print_name(const char *name)
{
    for (; *name != '\0'; ++name) {
        const unsigned char c = (unsigned char)*name;
        printf(c < 0x20 || c == 0x7f ? "\\%03o" : "%c", c);
    }
}

static void classify(const char *path, long number, const uint8_t *image)
{
    static float logits[@NAME@_NUM_CLASSES];
    int best = 0, i;
    @name@_run(image, logits);
    for (i = 1; i < @NAME@_NUM_CLASSES; ++i) {
        if (logits[i] > logits[best]) best = i;
    }
    printf("%s\t%ld\t%d\t", path, number, best);
    print_name(@name@_class_names[best]);
    for (i = 0; i < @NAME@_NUM_CLASSES; ++i) printf("\t%.9g", (double)logits[i]);
    printf("\n");
}

/* A number of a PGM or PPM header, after white space and comments; -1: there is none. */
static long header_number(FILE *file)
{
    long number = 0;
    int digits = 0, c = getc(file);
    while (c == ' ' || (c >= '\t' && c <= '\r') || c == '#') {
        if (c == '#') {
            while (c != '\n' && c != EOF) c = getc(file);
        } else {
            c = getc(file);
        }
    }
    for (; c >= '0' && c <= '9' && digits < 9; ++digits, c = getc(file)) {
        number = 10 * number + (c - '0');
    }
    return digits > 0 ? number : -1; /* the one byte after it is read */
}

static int run_netpbm(const char *path, FILE *file)
{
    const long width = header_number(file), height = header_number(file);
    const long levels = header_number(file);
    int pixel, channel;
    if (width != SIZE || height != SIZE || levels != 255) {
        fprintf(stderr, "%s: %ld x %ld pixels up to %ld, expected %d x %d up to 255\n", path, width,
                height, levels, SIZE, SIZE);
        return 2;
    }
    if (fread(pixels, 1, sizeof pixels, file) != sizeof pixels) return fail(path, "is cut off");
    for (pixel = 0; pixel < PIXELS; ++pixel) {
        for (channel = 0; channel < CHANNELS; ++channel) {
            planes[channel * PIXELS + pixel] = pixels[pixel * CHANNELS + channel];
        }
    }
    classify(path, 0, planes);
    return 0;
}

static int run_raw(const char *path, FILE *file)
{
    long number = 0;
    size_t count;
    while ((count = fread(planes, 1, sizeof planes, file)) == sizeof planes) {
        classify(path, number++, planes);
    }
    if (ferror(file)) return fail(path, "cannot be read");
    if (count > 0) return fail(path, "is no whole number of images");
    return 0;
}

static int run_file(const char *path, FILE *file)
{
    char magic[2];
    const size_t count = fread(magic, 1, sizeof magic, file);
    const char *wanted = CHANNELS == 1 ? "P5" : CHANNELS == 3 ? "P6" : NULL;
    const size_t length = strlen(path);
    const char *suffix = length > 4 ? path + length - 4 : "";
    if (strcmp(suffix, ".pgm") != 0 && strcmp(suffix, ".ppm") != 0) {
        rewind(file); /* raw levels may begin with any two bytes */
        return run_raw(path, file);
    }
    if (wanted == NULL || count != sizeof magic || memcmp(magic, wanted, sizeof magic) != 0) {
        return fail(path, CHANNELS == 1   ? "is no binary PGM (P5)"
                          : CHANNELS == 3 ? "is no binary PPM (P6)"
                                          : "this network takes raw images alone");
    }
    return run_netpbm(path, file);
}

int main(int argc, char **argv)
{
    int worst = 0, i;
    if (argc < 2) {
        fprintf(stderr, "usage: %s IMAGE...  (.pgm, .ppm, or raw levels)\n", argv[0]);
        return 2;
    }
    for (i = 1; i < argc; ++i) {
        FILE *file = fopen(argv[i], "rb");
        int found;
        if (file == NULL) {
            worst = fail(argv[i], "cannot be opened");
            continue;
        }
        found = run_file(argv[i], file);
        fclose(file);
        if (found > worst) worst = found;
    }
    return worst;
}
