/* What functions that stream leave behind when they fail, and how they say so. */
#include "memory.h"

/* Comes back to the writer that calls it. */
static int push_again(void *context, uint32_t shard, const uint8_t *data, size_t len) {
    ces2_writer **writer = (ces2_writer **)context;
    (void)shard;
    CHECK(ces2_writer_push(*writer, data, len) == CES_SPENT);
    SAYS("the writer is in use");
    return 0;
}

/* What is left of results when a call fails, whatever was there before. */
static void results(void) {
    static const uint8_t zeros[32] = {0};
    uint8_t id[8], key[32];
    uint64_t some = 4711;
    ces2_keys *keys = (ces2_keys *)&some;
    CHECK(ces2_keys_new(zeros, NULL, &keys) == CES_KEY && keys == NULL);
    SAYS("must be random");
    keys = (ces2_keys *)&some;
    CHECK(ces2_keys_new(KEY, "NOT A LABEL", &keys) == CES_ARGUMENT && keys == NULL);
    memset(id, 7, sizeof id);
    CHECK(ces2_key_id(zeros, id) == CES_KEY && memcmp(id, zeros, sizeof id) == 0);
    memset(key, 7, sizeof key);
    CHECK(ces2_key_from_hex("xyz", key) == CES_KEY && memcmp(key, zeros, sizeof key) == 0);
    CHECK(ces2_keys_new(KEY, NULL, &keys) == CES_OK);
    CHECK(ces2_keys_add(keys, zeros, NULL) == CES_KEY);
    ces2_writer *writer = (ces2_writer *)&some;
    CHECK(ces2_writer_new(NULL, NULL, append, NULL, &writer) == CES_NULL && writer == NULL);
    ces2_reader *reader = (ces2_reader *)&some;
    CHECK(ces2_reader_open(keys, NULL, 0, read_at, NULL, NULL, 1, &reader) == CES_LOST);
    CHECK(reader == NULL);
    char *damage = (char *)&some;
    ces2_report report;
    memset(&report, 7, sizeof report);
    CHECK(ces2_verify(NULL, 0, read_at, NULL, NULL, &report, &damage) == CES_LOST);
    CHECK(damage == NULL && report.plain_len == 0 && report.readable == 0);
    damage = (char *)&some;
    CHECK(ces2_verify(NULL, 0, read_at, NULL, NULL, NULL, &damage) == CES_NULL && damage == NULL);
    damage = (char *)&some;
    CHECK(ces2_reader_damage(NULL, &damage) == CES_NULL && damage == NULL);
    uint8_t *plain = (uint8_t *)&some;
    size_t len = 7;
    CHECK(ces2_reconstruct_v0(zeros, 8, 4, 10, NULL, 0, NULL, &plain, &len) == CES_KEY);
    CHECK(plain == NULL && len == 0);
    len = 7;
    CHECK(ces2_reconstruct_v0(KEY, 8, 4, 10, NULL, 0, NULL, NULL, &len) == CES_NULL && len == 0);

    /* The hook of a writer's keys is told while the writer is made, and never after. */
    told = 0;
    ces2_keys_free(keys);
    CHECK(ces2_keys_new(KEY, "production", &keys) == CES_OK);
    CHECK(ces2_keys_audit(keys, audit, &told) == CES_OK);
    CHECK(ces2_writer_new(NULL, keys, push_again, &writer, &writer) == CES_OK && told == 1);
    ces2_keys_free(keys);
    CHECK(ces2_writer_push(writer, KEY, sizeof KEY) == CES_OK);
    ces2_info info;
    CHECK(ces2_writer_finish(writer, &info) == CES_OK && info.plain_len == sizeof KEY && told == 1);
    memset(&info, 7, sizeof info);
    CHECK(ces2_writer_finish(writer, &info) == CES_SPENT && info.plain_len == 0);
    ces2_writer_free(writer);
}

static void failures(void) {
    ces2_keys *keys;
    CHECK(ces2_keys_new(NULL, NULL, &keys) == CES_OK);
    struct memory plain = {NULL, 0, 0, 0};
    struct memory shards[12] = {{0}};
    CHECK(ces2_encode(NULL, keys, read_some, &plain, append, shards, NULL) == CES_ARGUMENT);
    SAYS("only keys to read with");
    ces2_keys_free(keys);
    CHECK(ces2_keys_new(KEY, NULL, &keys) == CES_OK);
    CHECK(ces2_encode(NULL, NULL, read_some, &plain, append, shards, NULL) == CES_NULL);
    CHECK(ces2_encode(NULL, keys, NULL, &plain, append, shards, NULL) == CES_NULL);
    SAYS("`read` is NULL");
    CHECK(ces2_encode(NULL, keys, read_some, &plain, NULL, shards, NULL) == CES_NULL);
    plain.fails = 1;
    CHECK(ces2_encode(NULL, keys, read_some, &plain, append, shards, NULL) == CES_CALLBACK);
    SAYS("cannot read the input: the callback gave -5");
    plain.fails = 0;
    shards[7].fails = 1;
    CHECK(ces2_encode(NULL, keys, read_some, &plain, append, shards, NULL) == CES_CALLBACK);
    SAYS("cannot write shard 7: the callback gave 28");
    shards[7].fails = 0;
    CHECK(ces2_keys_new(KEY, NULL, NULL) == CES_NULL);
    ces2_keys *refused;
    CHECK(ces2_keys_new(KEY, "NOT A LABEL", &refused) == CES_ARGUMENT && refused == NULL);
    ces2_reader *reader;
    CHECK(ces2_reader_open(keys, NULL, 3, read_at, shards, NULL, 1, &reader) == CES_NULL);
    CHECK(ces2_reader_open(keys, NULL, 0, read_at, shards, NULL, 1, &reader) == CES_LOST);
    CHECK(ces2_reader_open(keys, NULL, 0, read_at, shards, NULL, 0, &reader) == CES_ARGUMENT);
    ces2_keys_free(keys);
    ces2_keys_free(NULL);
    ces2_reader_free(NULL);
    ces2_options_free(NULL);
    ces2_free_text(NULL);
    ces2_free_plain(NULL, 0);
    drop(shards, 12);
}

/* The recipe for the keys of tenants; the expected key is of another implementation. */
static void tenants(void) {
    static const uint8_t ACME[4] = {0xfe, 0xe3, 0xe1, 0xde};
    uint8_t master[32], key[32], other[32];
    for (int i = 0; i < 32; i++) {
        master[i] = (uint8_t)i;
    }
    const uint8_t *name = (const uint8_t *)"acme";
    CHECK(ces2_key_for_tenant(master, 32, name, 4, key) == CES_OK);
    CHECK(memcmp(key, ACME, 4) == 0);
    CHECK(ces2_key_for_tenant(master, 31, name, 4, key) == CES_KEY);
    CHECK(ces2_key_for_tenant(master, 32, name, 0, key) == CES_KEY);
    CHECK(ces2_key_for_tenant(master, 32, (const uint8_t *)"\xff", 1, key) == CES_ARGUMENT);
    CHECK(ces2_key_random(key) == CES_OK && ces2_key_random(other) == CES_OK);
    CHECK(memcmp(key, other, 32) != 0);
    const char *text = "0102030405060708090a0b0c0d0e0f101112131415161718191A1b1c1d1e1f20";
    CHECK(ces2_key_from_hex(text, key) == CES_OK && key[0] == 1 && key[31] == 32);
    CHECK(ces2_key_from_hex("xyz", other) == CES_KEY);
    CHECK(ces2_key_from_hex(NULL, other) == CES_NULL);
    setenv("CES_ENCRYPTION_KEY", text, 1);
    CHECK(ces2_key_from_environment(other) == CES_OK && memcmp(key, other, 32) == 0);
    unsetenv("CES_ENCRYPTION_KEY");
    CHECK(ces2_key_from_environment(other) == CES_KEY);
}

int main(void) {
    failures();
    results();
    tenants();
    puts("ok");
    return 0;
}
