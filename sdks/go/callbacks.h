/* The library's functions that call back, with a number for the context. */
#ifndef CES_GO_CALLBACKS_H
#define CES_GO_CALLBACKS_H

#include <propeller_ces.h>

void ces_go_audit(ces2_keys *keys, uintptr_t ring);
ces_status ces_go_encode(const ces2_options *options, const ces2_keys *keys, uintptr_t call,
                         ces2_info *info);
ces_status ces_go_open(const ces2_keys *keys, const uint64_t *sizes, size_t count, uintptr_t call,
                       const ces2_wanted *wanted, uint32_t threads, ces2_reader **reader);
ces_status ces_go_copy(ces2_reader *reader, uintptr_t call);
ces_status ces_go_verify(const uint64_t *sizes, size_t count, uintptr_t call,
                         const ces2_wanted *wanted, ces2_report *report, char **damage);
ces_status ces_go_repair(const uint64_t *sizes, size_t count, uintptr_t call,
                         const ces2_wanted *wanted, const uint32_t *rebuilt, size_t rebuilt_count);

#endif
