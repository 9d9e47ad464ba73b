/* Functions that stream. */
#include "memory.h"

#define SHARDS 6

static const uint8_t NEW_KEY[32] = {8, 2, 3, 4, 5, 6, 7, 8};

/* Comes back to the reader that calls it, which is told so. */
static int come_back(void *context, uint32_t shard, const uint8_t *data, size_t len) {
    uint8_t byte;
    (void)shard;
    (void)data;
    (void)len;
    CHECK(ces2_reader_read_at((ces2_reader *)context, 0, &byte, 1) == CES_SPENT);
    SAYS("is in use");
    return 0;
}

static void sizes_of(const struct memory *shards, uint64_t *sizes) {
    for (int i = 0; i < SHARDS; i++) {
        sizes[i] = shards[i].len;
    }
}

static ces2_options *options(void) {
    ces2_options *options;
    CHECK(ces2_options_new(&options) == CES_OK);
    CHECK(ces2_options_geometry(options, 4, 2) == CES_OK);
    CHECK(ces2_options_cipher(options, CES2_AES_256_GCM) == CES_OK);
    CHECK(ces2_options_level(options, 1) == CES_OK);
    CHECK(ces2_options_segment_size(options, 65536) == CES_OK);
    CHECK(ces2_options_label(options, "production") == CES_OK);
    CHECK(ces2_options_threads(options, 2) == CES_OK);
    /* What is refused changes nothing. */
    CHECK(ces2_options_geometry(options, 0, 2) == CES_ARGUMENT);
    CHECK(ces2_options_geometry(options, 1000, 2) == CES_ARGUMENT);
    CHECK(ces2_options_cipher(options, 3) == CES_ARGUMENT);
    CHECK(ces2_options_level(options, 23) == CES_ARGUMENT);
    CHECK(ces2_options_segment_size(options, 65537) == CES_ARGUMENT);
    CHECK(ces2_options_label(options, "Upper") == CES_ARGUMENT);
    CHECK(ces2_options_threads(options, 0) == CES_ARGUMENT);
    CHECK(ces2_options_geometry(NULL, 4, 2) == CES_NULL);
    SAYS("`options` is NULL");
    return options;
}

static void object(size_t len) {
    struct memory plain = {bytes(len, 77), len, 0, 0};
    struct memory shards[SHARDS] = {{0}};
    ces2_options *chosen = options();
    ces2_keys *keys;
    CHECK(ces2_keys_new(KEY, "production", &keys) == CES_OK);
    CHECK(ces2_keys_audit(keys, audit, &told) == CES_OK);
    told = 0;
    ces2_info info;
    CHECK(ces2_encode(chosen, keys, read_some, &plain, append, shards, &info) == CES_OK);
    CHECK(told == 1);
    CHECK(info.plain_len == len && info.data == 4 && info.parity == 2);
    CHECK(info.cipher == CES2_AES_256_GCM && info.segment_size == 65536);
    CHECK(strcmp(info.label, "production") == 0);
    uint8_t id[8];
    CHECK(ces2_key_id(KEY, id) == CES_OK && memcmp(id, info.key_id, 8) == 0);

    /* Two shards are gone: one with an error, one cut. */
    shards[1].fails = 1;
    uint64_t sizes[SHARDS];
    sizes_of(shards, sizes);
    sizes[4] = 10;
    ces2_wanted wanted = {info.object, info.digest, "production"};
    ces2_reader *reader;
    CHECK(ces2_reader_open(keys, sizes, SHARDS, read_at, shards, &wanted, 2, &reader) == CES_OK);
    CHECK(told >= 2);
    ces2_info again;
    CHECK(ces2_reader_info(reader, &again) == CES_OK && memcmp(&info, &again, sizeof info) == 0);
    struct memory out = {NULL, 0, 0, 0};
    CHECK(ces2_reader_copy(reader, append, &out) == CES_OK);
    CHECK(out.len == len && (len == 0 || memcmp(out.data, plain.data, len) == 0));
    char *damage;
    CHECK(ces2_reader_damage(reader, &damage) == CES_OK && damage != NULL);
    CHECK(strstr(damage, "input 1") != NULL && strstr(damage, "input 4") != NULL);
    ces2_free_text(damage);

    /* Ranges. */
    uint8_t buffer[5000];
    uint64_t from = len > 70000 ? 63000 : 0;
    size_t some = len - from < sizeof buffer ? len - from : sizeof buffer;
    CHECK(ces2_reader_read_at(reader, from, buffer, some) == CES_OK);
    CHECK(memcmp(buffer, plain.data + from, some) == 0);
    out.len = 0;
    CHECK(ces2_reader_copy_range(reader, from, some, append, &out) == CES_OK);
    CHECK(out.len == some && (some == 0 || memcmp(out.data, plain.data + from, some) == 0));
    CHECK(ces2_reader_read_at(reader, len, buffer, 1) == CES_RANGE);
    CHECK(ces2_reader_read_at(reader, UINT64_MAX, buffer, 1) == CES_RANGE);
    CHECK(ces2_reader_copy_range(reader, 0, UINT64_MAX, append, &out) == CES_RANGE);
    CHECK(ces2_reader_read_at(reader, 0, NULL, 1) == CES_NULL);
    CHECK(ces2_reader_read_at(reader, 0, NULL, 0) == CES_OK);
    if (len > 0) {
        out.fails = 1;
        CHECK(ces2_reader_copy(reader, append, &out) == CES_CALLBACK);
        SAYS("the callback gave 28");
    }
    CHECK(ces2_reader_copy(reader, come_back, reader) == CES_OK);
    CHECK(ces2_reader_read_at(reader, 0, buffer, some ? 1 : 0) == CES_OK);
    ces2_reader_free(reader);

    /* Verified, and repaired bit for bit, without the key. */
    ces2_report report;
    wanted.label = NULL;
    CHECK(ces2_verify(sizes, SHARDS, read_at, shards, &wanted, &report, &damage) == CES_OK);
    CHECK(report.whole == 0 && report.readable == 1 && report.lost == 0 && report.agreeing == 0);
    CHECK(report.damaged == 2 && report.missing == 2 && damage != NULL);
    CHECK(memcmp(report.digest, info.digest, 32) == 0);
    ces2_free_text(damage);
    struct memory rebuilt[SHARDS] = {{0}};
    uint32_t lost[2] = {1, 4};
    CHECK(ces2_repair(sizes, SHARDS, read_at, shards, &wanted, lost, 2, append, rebuilt) == CES_OK);
    for (int i = 0; i < 2; i++) {
        struct memory *old = &shards[lost[i]];
        CHECK(rebuilt[lost[i]].len == old->len);
        CHECK(memcmp(rebuilt[lost[i]].data, old->data, old->len) == 0);
    }
    lost[1] = 300;
    CHECK(ces2_repair(sizes, SHARDS, read_at, shards, &wanted, lost, 2, append, rebuilt) ==
          CES_ARGUMENT);
    drop(rebuilt, SHARDS);

    /* Another key, without touching what is sealed. */
    shards[1].fails = 0;
    sizes_of(shards, sizes);
    ces2_keys *new_keys;
    CHECK(ces2_keys_new(NEW_KEY, NULL, &new_keys) == CES_OK);
    CHECK(ces2_reader_open(new_keys, sizes, SHARDS, read_at, shards, NULL, 1, &reader) ==
          CES_KEY_NOT_AT_HAND);
    for (int i = 0; i < SHARDS; i++) {
        int changed = 7;
        CHECK(ces2_rotate(shards[i].data, keys, new_keys, &changed) == CES_OK && changed == 1);
        CHECK(ces2_rotate(shards[i].data, keys, new_keys, &changed) == CES_OK && changed == 0);
    }
    CHECK(ces2_reader_open(new_keys, sizes, SHARDS, read_at, shards, &wanted, 1, &reader) == CES_OK);
    ces2_reader_free(reader);
    CHECK(ces2_reader_open(keys, sizes, SHARDS, read_at, shards, NULL, 1, &reader) ==
          CES_KEY_NOT_AT_HAND);
    CHECK(ces2_keys_add(new_keys, KEY, NULL) == CES_OK);
    CHECK(ces2_keys_add(new_keys, KEY, NULL) == CES_ARGUMENT);
    SAYS("is there twice");
    wanted.label = "test";
    CHECK(ces2_reader_open(new_keys, sizes, SHARDS, read_at, shards, &wanted, 1, &reader) ==
          CES_REFUSED);
    for (int i = 0; i < 3; i++) {
        shards[i].fails = 1;
    }
    CHECK(ces2_reader_open(new_keys, sizes, SHARDS, read_at, shards, NULL, 1, &reader) == CES_LOST);
    SAYS("input 2");
    ces2_keys_free(new_keys);
    ces2_keys_free(keys);
    ces2_options_free(chosen);
    drop(shards, SHARDS);
    free(out.data);
    free(plain.data);
}

/* The same object, pushed in odd pieces. */
static void pushed(size_t len) {
    struct memory plain = {bytes(len, 5), len, 0, 0};
    struct memory shards[12] = {{0}};
    ces2_keys *keys;
    CHECK(ces2_keys_new(KEY, NULL, &keys) == CES_OK);
    ces2_writer *writer;
    CHECK(ces2_writer_new(NULL, keys, append, shards, &writer) == CES_OK);
    for (size_t at = 0; at < len;) {
        size_t some = len - at < 100003 ? len - at : 100003;
        CHECK(ces2_writer_push(writer, plain.data + at, some) == CES_OK);
        at += some;
    }
    ces2_info info;
    CHECK(ces2_writer_push(writer, NULL, 0) == CES_OK);
    CHECK(ces2_writer_push(writer, NULL, 1) == CES_NULL);
    CHECK(ces2_writer_finish(writer, &info) == CES_OK && info.plain_len == len);
    CHECK(ces2_writer_finish(writer, &info) == CES_SPENT);
    CHECK(ces2_writer_push(writer, plain.data, len) == CES_SPENT);
    ces2_writer_free(writer);
    uint64_t sizes[12];
    for (int i = 0; i < 12; i++) {
        sizes[i] = shards[i].len;
    }
    ces2_reader *reader;
    CHECK(ces2_reader_open(keys, sizes, 12, read_at, shards, NULL, 1, &reader) == CES_OK);
    struct memory out = {NULL, 0, 0, 0};
    CHECK(ces2_reader_copy(reader, append, &out) == CES_OK && out.len == len);
    CHECK(len == 0 || memcmp(out.data, plain.data, len) == 0);
    ces2_reader_free(reader);

    /* One that fails, and one that nobody finishes. */
    shards[3].fails = 1;
    CHECK(ces2_writer_new(NULL, keys, append, shards, &writer) == CES_OK);
    CHECK(ces2_writer_push(writer, plain.data, 0) == CES_CALLBACK);
    SAYS("cannot write shard 3: the callback gave 28");
    CHECK(ces2_writer_finish(writer, NULL) == CES_SPENT);
    ces2_writer_free(writer);
    shards[3].fails = 0;
    CHECK(ces2_writer_new(NULL, keys, append, shards, &writer) == CES_OK);
    CHECK(ces2_writer_push(writer, plain.data, len) == CES_OK);
    ces2_writer_free(writer);
    ces2_writer_free(NULL);
    CHECK(ces2_writer_new(NULL, NULL, append, shards, &writer) == CES_NULL);
    CHECK(ces2_writer_new(NULL, keys, NULL, shards, &writer) == CES_NULL);
    CHECK(ces2_writer_push(NULL, plain.data, len) == CES_NULL);
    ces2_keys_free(keys);
    drop(shards, 12);
    free(out.data);
    free(plain.data);
}

int main(void) {
    object(0);
    object(1);
    object(300000);
    pushed(0);
    pushed(1200000);
    puts("ok");
    return 0;
}
