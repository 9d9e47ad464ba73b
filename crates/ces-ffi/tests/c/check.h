/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "propeller_ces.h"

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            const char *why = ces_last_error();                                           \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,           \
                    why ? why : "no error");                                              \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* The last error says this. */
#define SAYS(text) CHECK(ces_last_error() != NULL && strstr(ces_last_error(), text) != NULL)

static inline uint8_t *bytes(size_t len, uint32_t seed) {
    uint8_t *data = (uint8_t *)malloc(len ? len : 1);
    CHECK(data != NULL);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    return data;
}

#endif
