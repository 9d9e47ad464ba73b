/* A program that was written for the older library: with its declarations, and without our header. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    uint8_t success;
    char *error_msg;
    uint8_t *data;
    size_t data_len;
} FFIResult;

typedef struct {
    uint8_t *data;
    size_t len;
} FFIShard;

typedef struct {
    FFIShard *shards;
    size_t count;
} FFIShards;

extern void *ces_new(int compression_level);
extern void *ces_new_with_key(int compression_level, const uint8_t *key);
extern void ces_free(void *pipeline);
extern FFIShards ces_process(void *pipeline, const uint8_t *data, size_t data_len);
extern FFIResult ces_reconstruct(void *pipeline, const FFIShard *shards, size_t shard_count,
                                 const int *shard_present);
extern void ces_free_result(FFIResult result);
extern void ces_free_shards(FFIShards shards);

int main(void) {
    uint8_t key[32] = {1, 2, 3};
    const char *text = "a text of an older program";
    void *pipeline = ces_new_with_key(3, key);
    if (pipeline == NULL || ces_new_with_key(3, NULL) != NULL) {
        return 1;
    }
    FFIShards shards = ces_process(pipeline, (const uint8_t *)text, strlen(text));
    if (shards.count != 12) {
        return 2;
    }
    int present[12];
    for (int i = 0; i < 12; i++) {
        present[i] = i >= 4;
    }
    FFIResult result = ces_reconstruct(pipeline, shards.shards, shards.count, present);
    if (result.success != 1 || result.data_len != strlen(text) ||
        memcmp(result.data, text, strlen(text)) != 0) {
        return 3;
    }
    ces_free_result(result);
    present[11] = 0;
    result = ces_reconstruct(pipeline, shards.shards, shards.count, present);
    if (result.success != 0 || result.error_msg == NULL) {
        return 4;
    }
    ces_free_result(result);
    ces_free_shards(shards);
    ces_free(pipeline);
    ces_free(ces_new(3));
    puts("ok");
    return 0;
}
