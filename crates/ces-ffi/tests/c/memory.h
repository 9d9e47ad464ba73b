/* Shards and plaintext in memory, as the programs hand them over. */
#ifndef MEMORY_H
#define MEMORY_H

#include "check.h"

static const uint8_t KEY[32] = {9, 2, 3, 4, 5, 6, 7, 8};

/* A growing piece of memory, and where it is read. */
struct memory {
    uint8_t *data;
    size_t len;
    size_t at;
    int fails;
};

static inline int64_t read_some(void *context, uint8_t *buffer, size_t len) {
    struct memory *memory = (struct memory *)context;
    if (memory->fails) {
        return -5;
    }
    /* Odd pieces, as from a socket. */
    size_t some = len < 10007 ? len : 10007;
    if (some > memory->len - memory->at) {
        some = memory->len - memory->at;
    }
    if (some > 0) {
        memcpy(buffer, memory->data + memory->at, some);
    }
    memory->at += some;
    return (int64_t)some;
}

static inline int append(void *context, uint32_t shard, const uint8_t *data, size_t len) {
    struct memory *memory = (struct memory *)context + shard;
    if (memory->fails) {
        return 28;
    }
    memory->data = (uint8_t *)realloc(memory->data, memory->len + len + 1);
    memcpy(memory->data + memory->len, data, len);
    memory->len += len;
    return 0;
}

static inline int read_at(void *context, uint32_t input, uint64_t offset, uint8_t *buffer, size_t len) {
    struct memory *memory = (struct memory *)context + input;
    if (memory->fails) {
        return 5;
    }
    CHECK(offset + len <= memory->len);
    memcpy(buffer, memory->data + offset, len);
    return 0;
}

static int told;

static inline void audit(void *context, const ces2_event *event) {
    told++;
    CHECK(context == &told && strcmp(event->label, "production") == 0);
    CHECK(strcmp(event->action, "wrapped") == 0 || strcmp(event->action, "unwrapped") == 0 ||
          strcmp(event->action, "refused") == 0);
}

static inline void drop(struct memory *memory, int count) {
    for (int i = 0; i < count; i++) {
        free(memory[i].data);
    }
}

#endif
