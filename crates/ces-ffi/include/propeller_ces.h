// CES: compress, encrypt, shard. Any bytes into k + m shards, and back.
//
// Made of the sources of crates/ces-ffi; do not edit. docs/book/ces-bindings.md tells how to use it.
//
// `ces_` functions hold whole objects in memory, and are those of an older implementation.
// `ces2_` functions stream, and give a ces_status each.
// Pointers are judged: NULL, unaligned ones and lengths beyond PTRDIFF_MAX are refused. What cannot be
// seen, such as a handle that was freed already, is undefined, as with free().
// What a pointer of a result points to is set to zeros as soon as the pointer is judged: after a call
// that failed, handles and texts are NULL, lengths 0, and freeing them is nothing.
// A reader or a writer is used by one thread at a time; another one, and a callback that comes back to
// it, gets CES_SPENT. A callback must not free the handle of the call that calls it.
// Texts end with a NUL and are UTF-8. A callback must return: no exception and no longjmp leaves it.

#ifndef PROPELLER_CES_H
#define PROPELLER_CES_H

#include <stddef.h>
#include <stdint.h>

// XChaCha20-Poly1305: the default, the same on every machine.
#define CES2_XCHACHA20_POLY1305 1

// AES-256-GCM: faster where the processor has instructions for it.
#define CES2_AES_256_GCM 2

// How much room a label takes with the NUL at its end.
#define CES2_LABEL_ROOM 25

// What came of a call. The text to it is in `ces_last_error()`.
typedef enum {
  // It is done.
  CES_OK = 0,
  // A pointer that must not be NULL is NULL.
  CES_NULL = 1,
  // An argument is outside what it may be.
  CES_ARGUMENT = 2,
  // There is no key where one is looked for, or what is there is none.
  CES_KEY = 3,
  // The object's key is not among those at hand.
  CES_KEY_NOT_AT_HAND = 4,
  // The object is there, and is not what it was to be: another environment's, another version,
  // or written wrong by somebody who has its key. Nothing of it is to be used.
  CES_REFUSED = 5,
  // Too many shards are bad or missing. The text lists them.
  CES_LOST = 6,
  // The object ends before the range that was asked for does.
  CES_RANGE = 7,
  // A callback said that it failed.
  CES_CALLBACK = 8,
  // The system gave no memory, no randomness or no thread.
  CES_SYSTEM = 9,
  // The handle failed before or is finished: free it; or it is in use, by another thread or by the
  // call whose callback came back to it.
  CES_SPENT = 10,
  // A bug in this library. The handle is not to be used again: free it.
  CES_PANIC = 11,
} ces_status;

// Keys at hand: one to write with or none, and several to read with.
typedef struct ces2_keys ces2_keys;

// How an object is written: 8 + 4 shards, XChaCha20-Poly1305, zstd's level 3, segments of 1 MiB, the
// key's label and one thread, unless something else is chosen.
typedef struct ces2_options ces2_options;

// An object whose key was at hand.
typedef struct ces2_reader ces2_reader;

// A new object whose plaintext is pushed.
typedef struct ces2_writer ces2_writer;

// A shard.
typedef struct {
  // Its bytes.
  uint8_t *data;
  // How many there are.
  size_t len;
} FFIShard;

// What `ces_process` gives. Give it back with `ces_free_shards`.
typedef struct {
  // The shards, data before parity; NULL if it failed.
  FFIShard *shards;
  // How many there are: 12, or 0 if it failed.
  size_t count;
} FFIShards;

// What `ces_reconstruct` gives. Give it back with `ces_free_result`.
typedef struct {
  // 1 if it is done, 0 if it failed; never anything else.
  uint8_t success;
  // Why it failed, or NULL.
  char *error_msg;
  // The plaintext; NULL if it failed, or if the plaintext is empty.
  uint8_t *data;
  // Length of the plaintext, in bytes.
  size_t data_len;
} FFIResult;

// One use of a key. No part of it is secret.
typedef struct {
  // What was done: "wrapped", "unwrapped", "refused" or "rotated". The text is the library's.
  const char *action;
  // The id of the key with which it was done, or which was missing.
  uint8_t key_id[8];
  // The label of the object.
  char label[CES2_LABEL_ROOM];
  // The id of the object.
  uint8_t object[16];
} ces2_event;

// Is told every use of a key, before anything is done with what came of it. The event is gone when it
// returns.
//
// It is called on the thread that called the library, or, for `ces2_writer_new`, on the writer's, while
// `ces2_writer_new` runs: never after a call is over, nor once the ring is freed.
typedef void (*ces2_audit_fn)(void *context, const ces2_event *event);

// Reads at most `len` bytes of plaintext into `buffer`.
//
// Gives how many bytes it read, 0 at the end, and a negative number if it failed.
typedef int64_t (*ces2_read_fn)(void *context, uint8_t *buffer, size_t len);

// Appends the `len` bytes in `data` to shard `shard`, or to the plaintext, whose number is 0.
//
// Gives 0, or anything else if it failed, which ends the call.
typedef int (*ces2_write_fn)(void *context, uint32_t shard, const uint8_t *data, size_t len);

// An object.
typedef struct {
  // Its id.
  uint8_t object[16];
  // Its digest: whoever knows it can verify and repair the object without a key.
  uint8_t digest[32];
  // The id of the key that it is under.
  uint8_t key_id[8];
  // The environment that it belongs to, or an empty text.
  char label[CES2_LABEL_ROOM];
  // What it is sealed with: `CES2_XCHACHA20_POLY1305` or `CES2_AES_256_GCM`.
  uint8_t cipher;
  // How many shards give it back.
  uint8_t data;
  // How many shards may be lost.
  uint8_t parity;
  // How much plaintext a segment carries, in bytes.
  uint32_t segment_size;
  // Length of the plaintext, in bytes.
  uint64_t plain_len;
  // How many segments there are.
  uint64_t segments;
} ces2_info;

// Reads the `len` bytes from `offset` on of the shard at place `input` into `buffer`: all of them.
//
// Gives 0, or anything else if it failed; the shard then counts as bad there, and the number stands
// in the text.
typedef int (*ces2_read_at_fn)(void *context,
                               uint32_t input,
                               uint64_t offset,
                               uint8_t *buffer,
                               size_t len);

// Which object is wanted. What is NULL may be any.
typedef struct {
  // The object's id, 16 bytes.
  const uint8_t *object;
  // The object's digest, 32 bytes: it names one object and all that is in it.
  const uint8_t *digest;
  // The object's label: another environment's object is refused before a key is tried.
  const char *label;
} ces2_wanted;

// What the shards of an object are like.
typedef struct {
  // The object's id.
  uint8_t object[16];
  // Its digest.
  uint8_t digest[32];
  // Length of the plaintext, in bytes.
  uint64_t plain_len;
  // How many segments there are.
  uint64_t segments;
  // How many of them have too few good pieces.
  uint64_t lost;
  // 0 if the digest was given, which proves what is said here; else how many shards agree, which
  // proves nothing to whom an attacker may have given all of them.
  uint32_t agreeing;
  // With how many of the shards that were handed over something is wrong.
  uint32_t damaged;
  // For how many of the object's shards none was handed over.
  uint32_t missing;
  // 1 if nothing is wrong and nothing missing, else 0.
  uint8_t whole;
  // 1 if all segments have enough good pieces, else 0.
  uint8_t readable;
} ces2_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Why this thread's last call failed, in words; NULL if it did not.
//
// The text is the library's: it stays until the next call on this thread. It never holds a key.
const char *ces_last_error(void);

// The status of this thread's last call, such as one that gives no status itself.
ces_status ces_last_status(void);

// A pipeline with the key in the environment variable `CES_ENCRYPTION_KEY`: 64 hexadecimal digits.
//
// `compression_level` is 0 (not compressed) or 1 (fast) to 22 (small), as zstd counts.
// Gives NULL if the variable is not set or holds no key, and if the level is another one;
// `ces_last_error` says which. It never makes up a key: nobody could read afterwards what that one
// sealed. The variable stays readable in `/proc/PID/environ`: programs in production take their key
// from elsewhere and call `ces_new_with_key`.
//
// Threads may share a pipeline. Free it with `ces_free`.
void *ces_new(int compression_level);

// A pipeline with a random key that exists in this process only.
//
// What it seals cannot be read by another process, nor by another pipeline, nor after this pipeline
// was freed. It is for tests.
void *ces_new_ephemeral(int compression_level);

// A pipeline with the 32 bytes at `key`, which are copied.
//
// Gives NULL if `key` is NULL or nothing but zeros, which is what nobody filled in, and if the level
// is not one of `ces_new`.
//
// Taken for granted:
// Where `key` is not NULL, 32 bytes are there.
void *ces_new_with_key(int compression_level,
                       const uint8_t *key);

// Frees a pipeline, and overwrites its key. NULL is nothing.
//
// Taken for granted:
// Where `pipeline` is not NULL, it is one of these functions', nobody uses it, and this is the
// first time that it is freed. That it was freed before cannot be seen: it is undefined, as with
// `free`.
void ces_free(void *pipeline);

// The 12 shards of a new object, any 8 of which give `data` back: 8 of data, then 4 of parity, all
// of one length.
//
// Gives `{NULL, 0}` if it fails, and `ces_last_error` says why. No data, which is
// `data_len` 0 with any `data`, has shards as well.
//
// Taken for granted:
// `pipeline` is one that was not freed. Where `data_len` is not 0 and `data` not NULL, so many bytes
// are there, and stay as they are during the call.
FFIShards ces_process(void *pipeline,
                      const uint8_t *data,
                      size_t data_len);

// The plaintext of an object, of any of its shards, at least 8 of which are good.
//
// Shards of `ces_process` may stand in any order, and damaged ones and those of other objects among
// them count as missing. Where none of them begins like one, or those that do give nothing back, the
// others are taken for shards of the older implementation, 8 + 4, which stand at their index.
// `shard_present` says for each whether it is there: 0 if not, and then its `data` and `len` are
// ignored. At most 1,000 shards are taken. They stay the caller's.
//
// Taken for granted:
// `pipeline` is one that was not freed. `shards` and `shard_present` have `shard_count` elements, and
// those shards that are there have as many bytes as they say, and stay as they are during the call.
FFIResult ces_reconstruct(void *pipeline,
                          const FFIShard *shards,
                          size_t shard_count,
                          const int *shard_present);

// Frees what `ces_reconstruct` gave, and overwrites the plaintext.
//
// Taken for granted:
// `result` is as `ces_reconstruct` gave it, and this is the first time that it is freed.
void ces_free_result(FFIResult result);

// Frees what `ces_process` gave.
//
// Taken for granted:
// `shards` is as `ces_process` gave it, and this is the first time that it is freed.
void ces_free_shards(FFIShards shards);

// Puts the key in the environment variable `CES_ENCRYPTION_KEY`, 64 hexadecimal digits, into the 32
// bytes at `key`.
//
// `CES_KEY` if it is not set, or is no key: nothing is made up.
//
// Taken for granted:
// Where `key` is not NULL, there is room for 32 bytes.
ces_status ces2_key_from_environment(uint8_t *key);

// Puts the key that `text`, 64 hexadecimal digits, stands for into the 32 bytes at `key`.
//
// Taken for granted:
// Where they are not NULL, `text` ends with a NUL, and at `key` there is room for 32 bytes.
ces_status ces2_key_from_hex(const char *text, uint8_t *key);

// Puts a new random key into the 32 bytes at `key`. What it seals is lost with it.
//
// Taken for granted:
// Where `key` is not NULL, there is room for 32 bytes.
ces_status ces2_key_random(uint8_t *key);

// Puts the key of a tenant into the 32 bytes at `key`.
//
// It is HKDF-SHA256 (RFC 5869) of a master secret of at least 32 bytes, with the salt "wgt-ces-v1"
// and the info "ces-pipeline-" and the tenant's name (`tenant_len` bytes of UTF-8, not empty).
//
// Taken for granted:
// Where they are not NULL, `master` and `tenant` have as many bytes as is said, and at `key` there is
// room for 32.
ces_status ces2_key_for_tenant(const uint8_t *master,
                               size_t master_len,
                               const uint8_t *tenant,
                               size_t tenant_len,
                               uint8_t *key);

// Puts the id of the key at `key`, which names it without revealing it, into the 8 bytes at `id`.
//
// Taken for granted:
// Where they are not NULL, 32 bytes are at `key`, and at `id` there is room for 8.
ces_status ces2_key_id(const uint8_t *key, uint8_t *id);

// Makes a ring of one key, to write and to read with; or, where `key` is NULL, an empty one to read
// with.
//
// A key of nothing but zeros is refused with `CES_KEY`. One with a `label`, which may be NULL, is for
// objects with this label and no others. Free the ring with `ces2_keys_free`.
//
// Taken for granted:
// Where they are not NULL, 32 bytes are at `key`, `label` ends with a NUL, and at `keys` there is room
// for a pointer.
ces_status ces2_keys_new(const uint8_t *key,
                         const char *label,
                         ces2_keys **keys);

// Adds a key to read with, such as one that was written with before a rotation.
//
// Taken for granted:
// Where they are not NULL, `keys` is a ring that nobody else uses, 32 bytes are at `key`, and `label`
// ends with a NUL.
ces_status ces2_keys_add(ces2_keys *keys,
                         const uint8_t *key,
                         const char *label);

// Has every use of these keys told to `audit`, or, where that is NULL, to nobody.
//
// Taken for granted:
// `keys` is a ring that nobody else uses. `audit` may be called with `context` on every thread that
// uses the ring, as long as it is there.
ces_status ces2_keys_audit(ces2_keys *keys, ces2_audit_fn audit, void *context);

// Frees a ring, and overwrites its keys. NULL is nothing.
//
// Taken for granted:
// Where `keys` is not NULL, it is of `ces2_keys_new`, nobody uses it, and this is the first time that
// it is freed. Readers and writers need neither it nor its hook once they are made.
void ces2_keys_free(ces2_keys *keys);

// Makes options. Free them with `ces2_options_free`.
//
// Taken for granted:
// Where `options` is not NULL, there is room for a pointer.
ces_status ces2_options_new(ces2_options **options);

// How many shards give an object back, 1 to 128, and how many may be lost, 0 to 128.
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
ces_status ces2_options_geometry(ces2_options *options, uint32_t data, uint32_t parity);

// `CES2_XCHACHA20_POLY1305` or `CES2_AES_256_GCM`.
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
ces_status ces2_options_cipher(ces2_options *options, uint32_t cipher);

// 0 (not compressed), or 1 (fast) to 22 (small).
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
ces_status ces2_options_level(ces2_options *options, int32_t level);

// How much plaintext a segment carries: a power of two from 65,536 to 8,388,608 bytes.
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
ces_status ces2_options_segment_size(ces2_options *options, uint32_t bytes);

// The environment that the object belongs to: at most 24 of a–z, 0–9, '.', '_' and '-'. Where it is
// NULL, that of the key.
//
// Taken for granted:
// Where they are not NULL, `options` is of `ces2_options_new`, and nobody else uses it; and `label` ends
// with a NUL.
ces_status ces2_options_label(ces2_options *options,
                              const char *label);

// How many threads work at once, 1 to 256; each holds two to three segments. Callbacks are called on
// the caller's thread, however many there are.
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
ces_status ces2_options_threads(ces2_options *options,
                                uint32_t threads);

// Frees options. NULL is nothing.
//
// Taken for granted:
// Where `options` is not NULL, it is of `ces2_options_new`, nobody uses it, and this is the first time
// that it is freed.
void ces2_options_free(ces2_options *options);

// Reads plaintext with `read` until it ends, and writes the shards of a new object with `write`.
//
// The shards grow together, from their beginning to their end; memory does not depend on the length.
// All callbacks are called on this thread. `options` may be NULL, and so may `info`, which is filled
// when all is written.
// If it fails, what was written is of no use.
//
// Taken for granted:
// Where they are not NULL, `options` and `keys` are handles that nobody changes, `info` has room, and
// the callbacks are what their types say, each with its context.
ces_status ces2_encode(const ces2_options *options,
                       const ces2_keys *keys,
                       ces2_read_fn read,
                       void *read_context,
                       ces2_write_fn write,
                       void *write_context,
                       ces2_info *info);

// Begins a new object whose plaintext is pushed with `ces2_writer_push`; `write` gets its shards.
//
// `write` is called on the thread that pushes or finishes. A thread of the library's encodes. Whoever
// is told of uses of the keys is called on that one, while this function waits for it: none is told
// after it. `options` may be NULL. The options and the keys are copied. Free the writer with
// `ces2_writer_free`.
//
// Taken for granted:
// Where they are not NULL, `options` and `keys` are handles that nobody changes, and at `writer` there
// is room for a pointer. `write` is what its type says, with `context`, until the writer is freed.
ces_status ces2_writer_new(const ces2_options *options,
                           const ces2_keys *keys,
                           ces2_write_fn write,
                           void *context,
                           ces2_writer **writer);

// Takes `len` bytes of plaintext, as many or few as there are.
//
// When it fails, there will be no object, and what was written is of no use: free the writer.
//
// Taken for granted:
// Where they are not NULL, `writer` is of `ces2_writer_new` and not in use, and `data` has `len` bytes.
ces_status ces2_writer_push(ces2_writer *writer,
                            const uint8_t *data,
                            size_t len);

// Writes what is left. The object is there when this gives `CES_OK`; `info` may be NULL.
//
// Taken for granted:
// Where they are not NULL, `writer` is of `ces2_writer_new` and not in use, and `info` has room.
ces_status ces2_writer_finish(ces2_writer *writer, ces2_info *info);

// Frees a writer; one that is not finished leaves no object. NULL is nothing.
//
// A callback must not free the writer that calls it.
//
// Taken for granted:
// Where `writer` is not NULL, it is of `ces2_writer_new`, nobody uses it, and this is the first time
// that it is freed.
void ces2_writer_free(ces2_writer *writer);

// Opens an object of which `count` shards are there, of the lengths in `sizes`.
//
// They may stand in any order, damaged ones and those of other objects among them. At most 1,000 are
// taken. `wanted` may be NULL. With `threads` above 1, so many read ahead; `read_at` is called on the
// caller's thread all the same. Free the reader with `ces2_reader_free`.
//
// Taken for granted:
// Where they are not NULL, `keys` is a ring that nobody changes, `sizes` has `count` elements,
// `wanted` is as its fields say, and at `reader` there is room for a pointer. `read_at` is what its
// type says, with `context`, until the reader is freed.
ces_status ces2_reader_open(const ces2_keys *keys,
                            const uint64_t *sizes,
                            size_t count,
                            ces2_read_at_fn read_at,
                            void *context,
                            const ces2_wanted *wanted,
                            uint32_t threads,
                            ces2_reader **reader);

// What the object is.
//
// Taken for granted:
// Where they are not NULL, `reader` is open and not in use, and `info` has room.
ces_status ces2_reader_info(const ces2_reader *reader, ces2_info *info);

// Writes the whole plaintext with `write`.
//
// Each segment is authenticated before it is written. That the object is whole is known at the end
// only: if this fails, what was written is not to be used.
//
// Taken for granted:
// Where they are not NULL, `reader` is open and not in use, and `write` is what its type says, with
// `context`.
ces_status ces2_reader_copy(ces2_reader *reader, ces2_write_fn write, void *context);

// Writes `len` bytes of plaintext from `offset` on with `write`, and reads only the segments they are
// in. `CES_RANGE` if the object ends before.
//
// Taken for granted:
// As for `ces2_reader_copy`.
ces_status ces2_reader_copy_range(ces2_reader *reader,
                                  uint64_t offset,
                                  uint64_t len,
                                  ces2_write_fn write,
                                  void *context);

// Puts the `len` bytes of plaintext from `offset` on into `buffer`: all of them, or `CES_RANGE` if the
// object ends before.
//
// The segment that was read last is kept, so that many small reads one behind the other cost no more
// than a large one. If it fails, `buffer` may hold anything.
//
// Taken for granted:
// Where they are not NULL, `reader` is open and not in use, and `buffer` has room for `len` bytes.
ces_status ces2_reader_read_at(ces2_reader *reader,
                               uint64_t offset,
                               uint8_t *buffer,
                               size_t len);

// What is wrong with the shards as far as they had to be read, in words; free it with
// `ces2_free_text`. `*damage` is NULL if nothing is.
//
// Taken for granted:
// Where they are not NULL, `reader` is open and not in use, and at `damage` there is room for a
// pointer.
ces_status ces2_reader_damage(const ces2_reader *reader, char **damage);

// Frees a reader, and overwrites its keys and the plaintext it keeps. NULL is nothing.
//
// A callback must not free the reader that calls it.
//
// Taken for granted:
// Where `reader` is not NULL, it is of `ces2_reader_open`, nobody uses it, and this is the first time
// that it is freed.
void ces2_reader_free(ces2_reader *reader);

// Reads every byte of an object's shards, without its key, and says what is wrong with which.
//
// The shards are handed over as to `ces2_reader_open`. Whoever names the object's digest in `wanted`
// learns whether these are the shards of that object; whoever does not, only whether they agree.
// `damage` may be NULL; else `*damage` is a text to be freed with `ces2_free_text`, or NULL if nothing
// is wrong. It gives `CES_OK` whenever there is a report, damage or not.
//
// Taken for granted:
// As for `ces2_reader_open`; where they are not NULL, `report` and `damage` have room.
ces_status ces2_verify(const uint64_t *sizes,
                       size_t count,
                       ces2_read_at_fn read_at,
                       void *context,
                       const ces2_wanted *wanted,
                       ces2_report *report,
                       char **damage);

// Rebuilds the shards that `rebuilt` names by their index, bit for bit, without the key.
//
// The shards are handed over as to `ces2_verify`, damaged ones included; `write` gets each rebuilt one
// by its index. Name the digest in `wanted`. Without it, shards are built of what the others agree on,
// and nobody votes: if there are enough of two objects, or one that is whole by itself contradicts
// others, it is refused, and asks for the digest. If it fails, what was written is of no use.
//
// Taken for granted:
// As for `ces2_reader_open`; where they are not NULL, `rebuilt` has `rebuilt_count` elements, and
// `write` is what its type says, with `write_context`.
ces_status ces2_repair(const uint64_t *sizes,
                       size_t count,
                       ces2_read_at_fn read_at,
                       void *read_context,
                       const ces2_wanted *wanted,
                       const uint32_t *rebuilt,
                       size_t rebuilt_count,
                       ces2_write_fn write,
                       void *write_context);

// Puts the data key in a shard's header, its first 120 bytes, under the key that `to` writes with.
//
// Do it for each shard of an object, and write the changed header over the old one; what the shard
// seals stays as it is. `from` has the key that the object is under; where that is the new one
// already, nothing changes. After an interruption, do it again: until then both keys are needed.
// Uses of both keys are told to whoever is told of those of `to`.
// `changed` may be NULL; else it is 1 if the header is another one now, or 0.
//
// Taken for granted:
// Where they are not NULL, 120 bytes are at `header`, `from` and `to` are rings that nobody changes,
// and `changed` has room.
ces_status ces2_rotate(uint8_t *header,
                       const ces2_keys *from,
                       const ces2_keys *to,
                       int *changed);

// The plaintext of shards of the older implementation, of any geometry, each at its index.
//
// `ces_reconstruct` reads those of 8 + 4. At most `plain_max` bytes of plaintext are taken.
// Give the plaintext back with `ces2_free_plain`; it is NULL if it is empty.
//
// Taken for granted:
// As for `ces_reconstruct`; where they are not NULL, 32 bytes are at `key`, and `plain` and `plain_len`
// have room.
ces_status ces2_reconstruct_v0(const uint8_t *key,
                               uint32_t data,
                               uint32_t parity,
                               size_t plain_max,
                               const FFIShard *shards,
                               size_t shard_count,
                               const int *shard_present,
                               uint8_t **plain,
                               size_t *plain_len);

// Frees the plaintext that `ces2_reconstruct_v0` gave, and overwrites it. NULL is nothing.
//
// Taken for granted:
// Both are as they were given, and this is the first time.
void ces2_free_plain(uint8_t *plain, size_t plain_len);

// Frees a text that this library gave. NULL is nothing.
//
// Taken for granted:
// It is as it was given, and this is the first time.
void ces2_free_text(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROPELLER_CES_H */

#if defined(__cplusplus)
#define CES_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define CES_ASSERT(condition) _Static_assert(condition, #condition)
#else
#define CES_ASSERT(condition) struct ces_assert
#endif
#if UINTPTR_MAX == UINT64_MAX
CES_ASSERT(sizeof(FFIResult) == 32);
CES_ASSERT(offsetof(FFIResult, error_msg) == 8);
CES_ASSERT(offsetof(FFIResult, data) == 16);
CES_ASSERT(offsetof(FFIResult, data_len) == 24);
CES_ASSERT(sizeof(FFIShard) == 16);
CES_ASSERT(offsetof(FFIShard, len) == 8);
CES_ASSERT(sizeof(FFIShards) == 16);
CES_ASSERT(offsetof(FFIShards, count) == 8);
CES_ASSERT(sizeof(ces2_wanted) == 24);
CES_ASSERT(sizeof(ces2_info) == 104);
CES_ASSERT(sizeof(ces2_report) == 88);
CES_ASSERT(sizeof(ces2_event) == 64);
#endif
#undef CES_ASSERT
