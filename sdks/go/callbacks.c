/* Go's functions have no const and no void pointers that are numbers: these have. */
#include "callbacks.h"

extern int64_t cesGoRead(uintptr_t context, uint8_t *buffer, size_t len);
extern int cesGoReadAt(uintptr_t context, uint32_t input, uint64_t offset, uint8_t *buffer, size_t len);
extern int cesGoWrite(uintptr_t context, uint32_t shard, uint8_t *data, size_t len);
extern void cesGoAudit(uintptr_t context, ces2_event *event);

static int64_t read_some(void *context, uint8_t *buffer, size_t len) {
    return cesGoRead((uintptr_t)context, buffer, len);
}

static int read_at(void *context, uint32_t input, uint64_t offset, uint8_t *buffer, size_t len) {
    return cesGoReadAt((uintptr_t)context, input, offset, buffer, len);
}

static int write_all(void *context, uint32_t shard, const uint8_t *data, size_t len) {
    return cesGoWrite((uintptr_t)context, shard, (uint8_t *)data, len);
}

static void audit(void *context, const ces2_event *event) {
    cesGoAudit((uintptr_t)context, (ces2_event *)event);
}

void ces_go_audit(ces2_keys *keys, uintptr_t ring) { ces2_keys_audit(keys, audit, (void *)ring); }

ces_status ces_go_encode(const ces2_options *options, const ces2_keys *keys, uintptr_t call,
                         ces2_info *info) {
    return ces2_encode(options, keys, read_some, (void *)call, write_all, (void *)call, info);
}

ces_status ces_go_open(const ces2_keys *keys, const uint64_t *sizes, size_t count, uintptr_t call,
                       const ces2_wanted *wanted, uint32_t threads, ces2_reader **reader) {
    return ces2_reader_open(keys, sizes, count, read_at, (void *)call, wanted, threads, reader);
}

ces_status ces_go_copy(ces2_reader *reader, uintptr_t call) {
    return ces2_reader_copy(reader, write_all, (void *)call);
}

ces_status ces_go_verify(const uint64_t *sizes, size_t count, uintptr_t call,
                         const ces2_wanted *wanted, ces2_report *report, char **damage) {
    return ces2_verify(sizes, count, read_at, (void *)call, wanted, report, damage);
}

ces_status ces_go_repair(const uint64_t *sizes, size_t count, uintptr_t call,
                         const ces2_wanted *wanted, const uint32_t *rebuilt, size_t rebuilt_count) {
    return ces2_repair(sizes, count, read_at, (void *)call, wanted, rebuilt, rebuilt_count, write_all,
                       (void *)call);
}
