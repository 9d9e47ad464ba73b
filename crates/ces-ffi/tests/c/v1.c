/* The seven functions, as callers of the older implementation use them. */
#include "check.h"

static const uint8_t KEY[32] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static void round_trip(size_t len) {
    uint8_t *data = bytes(len, (uint32_t)len);
    void *pipeline = ces_new_with_key(3, KEY);
    CHECK(pipeline != NULL);
    FFIShards shards = ces_process(pipeline, data, len);
    CHECK(shards.shards != NULL && shards.count == 12);
    ces_free(pipeline);

    /* Another pipeline with the same key; four shards are lost. */
    pipeline = ces_new_with_key(19, KEY);
    int present[12];
    FFIShard mine[12];
    for (int i = 0; i < 12; i++) {
        CHECK(shards.shards[i].len == shards.shards[0].len);
        present[i] = i % 3 != 1;
        mine[i] = shards.shards[i];
        if (!present[i]) {
            mine[i].data = NULL;
            mine[i].len = 0;
        }
    }
    FFIResult result = ces_reconstruct(pipeline, mine, 12, present);
    CHECK(result.success == 1 && result.error_msg == NULL && result.data_len == len);
    CHECK(len == 0 || memcmp(result.data, data, len) == 0);
    ces_free_result(result);

    /* A flipped bit in each of four shards, which nobody names, is survived as well. */
    for (int i = 0; i < 4; i++) {
        shards.shards[3 * i].data[shards.shards[0].len / 2] ^= 0x10;
        present[3 * i + 1] = 1;
    }
    for (int i = 0; i < 12; i++) {
        present[i] = 1;
    }
    result = ces_reconstruct(pipeline, shards.shards, 12, present);
    CHECK(result.success == 1 && result.data_len == len);
    CHECK(len == 0 || memcmp(result.data, data, len) == 0);
    ces_free_result(result);

    /* Five are too many, and the text lists them. */
    present[1] = 0;
    result = ces_reconstruct(pipeline, shards.shards, 12, present);
    CHECK(result.success == 0 && result.data == NULL && result.data_len == 0);
    CHECK(strstr(result.error_msg, "shard 1 is missing") != NULL);
    CHECK(strcmp(result.error_msg, ces_last_error()) == 0 && ces_last_status() == CES_LOST);
    ces_free_result(result);
    ces_free_shards(shards);
    ces_free(pipeline);
    free(data);
}

/* Any number of shards from 8 up, in any order. */
static void eight_in_reverse(void) {
    void *pipeline = ces_new_with_key(0, KEY);
    FFIShards shards = ces_process(pipeline, (const uint8_t *)"reverse", 7);
    FFIShard some[8];
    int present[8];
    for (int i = 0; i < 8; i++) {
        some[i] = shards.shards[11 - i];
        present[i] = 1;
    }
    FFIResult result = ces_reconstruct(pipeline, some, 8, present);
    CHECK(result.success == 1 && result.data_len == 7 && memcmp(result.data, "reverse", 7) == 0);
    ces_free_result(result);
    ces_free_shards(shards);
    ces_free(pipeline);
}

static void keys(void) {
    unsetenv("CES_ENCRYPTION_KEY");
    CHECK(ces_new(3) == NULL);
    SAYS("there is no key in CES_ENCRYPTION_KEY");
    setenv("CES_ENCRYPTION_KEY", "secret-that-must-not-be-shown", 1);
    CHECK(ces_new(3) == NULL);
    SAYS("64 hexadecimal digits");
    CHECK(strstr(ces_last_error(), "secret-that") == NULL);
    setenv("CES_ENCRYPTION_KEY",
           "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", 1);
    void *of_environment = ces_new(3);
    CHECK(of_environment != NULL && ces_last_error() == NULL && ces_last_status() == CES_OK);
    void *explicit_key = ces_new_with_key(3, KEY);
    FFIShards shards = ces_process(of_environment, (const uint8_t *)"x", 1);
    int present[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    FFIResult result = ces_reconstruct(explicit_key, shards.shards, shards.count, present);
    CHECK(result.success == 1 && result.data_len == 1 && result.data[0] == 'x');
    ces_free_result(result);

    /* An ephemeral key opens nothing of another pipeline's. */
    void *ephemeral = ces_new_ephemeral(3);
    CHECK(ephemeral != NULL);
    result = ces_reconstruct(ephemeral, shards.shards, shards.count, present);
    CHECK(result.success == 0 && strstr(result.error_msg, "is not at hand") != NULL);
    ces_free_result(result);
    ces_free_shards(shards);
    ces_free(ephemeral);
    ces_free(explicit_key);
    ces_free(of_environment);

    CHECK(ces_new_with_key(3, NULL) == NULL);
    SAYS("`key` is NULL");
    static const uint8_t zeros[32] = {0};
    CHECK(ces_new_with_key(3, zeros) == NULL && ces_last_status() == CES_KEY);
    SAYS("must be random");
    CHECK(ces_new_with_key(23, KEY) == NULL);
    SAYS("1 to 22, got 23");
    CHECK(ces_new_with_key(-1, KEY) == NULL);
    CHECK(ces_new_ephemeral(-1) == NULL);
}

/* Mistake 9: what is NULL, unaligned or too long is refused, and nothing is dereferenced. */
static void bad_arguments(void) {
    void *pipeline = ces_new_with_key(3, KEY);
    uint8_t byte = 7;
    FFIShards none = ces_process(NULL, &byte, 1);
    CHECK(none.shards == NULL && none.count == 0);
    SAYS("`pipeline` is NULL");
    none = ces_process(pipeline, NULL, 1);
    CHECK(none.shards == NULL && none.count == 0);
    SAYS("`data` is NULL");
    none = ces_process(pipeline, &byte, SIZE_MAX);
    CHECK(none.shards == NULL);
    SAYS("more than memory can hold");
    none = ces_process((char *)pipeline + 1, &byte, 1);
    CHECK(none.shards == NULL);
    SAYS("not aligned");
    FFIShards empty = ces_process(pipeline, NULL, 0);
    CHECK(empty.count == 12);

    FFIShard shard = {NULL, 100};
    int present = 1;
    FFIResult result = ces_reconstruct(pipeline, &shard, 1, &present);
    CHECK(result.success == 0 && strstr(result.error_msg, "`shards[0].data` is NULL") != NULL);
    ces_free_result(result);
    shard.data = &byte;
    shard.len = SIZE_MAX;
    result = ces_reconstruct(pipeline, &shard, 1, &present);
    CHECK(result.success == 0 && strstr(result.error_msg, "more than memory") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(pipeline, NULL, 1, &present);
    CHECK(result.success == 0 && strstr(result.error_msg, "`shards` is NULL") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(pipeline, empty.shards, 12, NULL);
    CHECK(result.success == 0 && strstr(result.error_msg, "`shard_present` is NULL") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(pipeline, (FFIShard *)((char *)empty.shards + 1), 1, &present);
    CHECK(result.success == 0 && strstr(result.error_msg, "not aligned") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(pipeline, empty.shards, SIZE_MAX, &present);
    CHECK(result.success == 0 && strstr(result.error_msg, "at most 1000") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(pipeline, NULL, 0, NULL);
    CHECK(result.success == 0 && strstr(result.error_msg, "not enough shards") != NULL);
    ces_free_result(result);
    result = ces_reconstruct(NULL, NULL, 0, NULL);
    CHECK(result.success == 0);
    ces_free_result(result);

    ces_free_shards(empty);
    FFIShards nothing = {NULL, 0};
    ces_free_shards(nothing);
    FFIResult no_result = {0, NULL, NULL, 0};
    ces_free_result(no_result);
    ces_free(NULL);
    ces_free(pipeline);
}

/* Shards of the older implementation stand at their index; arguments: key file, shard files. */
static void older(int argc, char **argv) {
    if (argc < 2) {
        return;
    }
    FFIShard shards[12];
    int present[12];
    uint8_t key[32];
    FILE *file = fopen(argv[1], "rb");
    CHECK(file != NULL && fread(key, 1, 32, file) == 32);
    fclose(file);
    CHECK(argc - 2 <= 12);
    for (int i = 0; i < argc - 2; i++) {
        shards[i].data = NULL;
        shards[i].len = 0;
        file = fopen(argv[i + 2], "rb");
        present[i] = file != NULL;
        if (file == NULL) {
            continue;
        }
        shards[i].data = (uint8_t *)malloc(65536);
        shards[i].len = fread(shards[i].data, 1, 65536, file);
        fclose(file);
    }
    void *pipeline = ces_new_with_key(3, key);
    FFIResult result = ces_reconstruct(pipeline, shards, (size_t)(argc - 2), present);
    CHECK(result.success == 1);
    fwrite(result.data, 1, result.data_len, stdout);
    ces_free_result(result);
    ces_free(pipeline);
    for (int i = 0; i < argc - 2; i++) {
        free(shards[i].data);
    }
}

int main(int argc, char **argv) {
    older(argc, argv);
    if (argc > 1) {
        return 0;
    }
    round_trip(0);
    round_trip(1);
    round_trip(100000);
    round_trip(1048576 + 5);
    eight_in_reverse();
    keys();
    bad_arguments();
    puts("ok");
    return 0;
}
