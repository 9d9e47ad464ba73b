// Package ces turns any bytes into k + m encrypted shards, any k of which give them back to the holder
// of their key, and to nobody else.
//
// It calls the C library of CES, which pkg-config finds under the name propeller-ces
// (docs/book/ces-bindings.md tells how to install it).
//
// A [CESPipeline] holds whole objects in memory. [Encode], [NewWriter] and [Open] stream, and take as
// much memory for a terabyte as for a megabyte.
package ces

// #cgo pkg-config: propeller-ces
// #include <stdlib.h>
// #include <propeller_ces.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"unsafe"
)

// magic is what a shard begins with; one of the older implementation does not.
var magic = []byte("PRPLCES")

// olderData is how many shards the older implementation reads an object of.
const olderData = 8

var errClosed = errors.New("ces: the pipeline is closed, or there never was one")

// ShardData is one shard of an object.
type ShardData struct {
	Data []byte
}

// CESPipeline makes 8 + 4 shards of bytes, and bytes of shards, under one key.
//
// Goroutines may share one.
type CESPipeline struct {
	lock   sync.RWMutex
	handle unsafe.Pointer
	keys   *C.ces2_keys
}

// NewCESPipeline takes the key from the environment variable CES_ENCRYPTION_KEY, 64 hexadecimal digits.
//
// It gives nil if there is none, if it is malformed, or if the level is not 0 (not compressed) to 22:
// a key that nobody knows is never made up. [NewCESPipelineFromEnvironment] says which of these it is.
func NewCESPipeline(level int) *CESPipeline {
	pipeline, _ := NewCESPipelineFromEnvironment(level)
	return pipeline
}

// NewCESPipelineFromEnvironment is NewCESPipeline with the reason where there is no pipeline.
func NewCESPipelineFromEnvironment(level int) (*CESPipeline, error) {
	key, err := KeyFromEnvironment()
	if err != nil {
		return nil, err
	}
	defer zero(&key)
	return OpenCESPipeline(level, key)
}

// NewCESPipelineWithKey takes a key of 32 random bytes. It gives nil if the key is nothing but zeros, or
// the level not 0 (not compressed) to 22; [OpenCESPipeline] says which.
func NewCESPipelineWithKey(level int, key [32]byte) *CESPipeline {
	pipeline, _ := OpenCESPipeline(level, key)
	return pipeline
}

// NewCESPipelineEphemeral takes a random key that exists in this process only: what it seals is lost
// with the pipeline. It is for tests.
func NewCESPipelineEphemeral(level int) (*CESPipeline, error) {
	key, err := RandomKey()
	if err != nil {
		return nil, err
	}
	defer zero(&key)
	return OpenCESPipeline(level, key)
}

// OpenCESPipeline is NewCESPipelineWithKey with the reason where there is no pipeline.
func OpenCESPipeline(level int, key [32]byte) (*CESPipeline, error) {
	defer zero(&key)
	if level < 0 || level > 22 {
		return nil, fmt.Errorf("ces: a compression level is 0 (not compressed) or 1 to 22, got %d", level)
	}
	ring, err := Keys{Key: key}.ring()
	if err != nil {
		return nil, err
	}
	pipeline := &CESPipeline{keys: ring.keys}
	err = called(func() uint32 {
		pipeline.handle = C.ces_new_with_key(C.int(level), (*C.uint8_t)(&key[0]))
		return failedIf(pipeline.handle == nil)
	})
	if err != nil {
		ring.free()
		return nil, err
	}
	runtime.SetFinalizer(pipeline, (*CESPipeline).Close)
	return pipeline, nil
}

// Close frees the pipeline, and overwrites its key. It may be called twice.
func (p *CESPipeline) Close() {
	if p == nil {
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	C.ces_free(p.handle)
	C.ces2_keys_free(p.keys)
	p.handle, p.keys = nil, nil
	runtime.SetFinalizer(p, nil)
}

// Process gives the 12 shards of a new object, any 8 of which give data back: 8 of data, then 4 of
// parity, all of one length. Data may be empty.
func (p *CESPipeline) Process(data []byte) ([]ShardData, error) {
	if p == nil {
		return nil, errClosed
	}
	p.lock.RLock()
	defer p.lock.RUnlock()
	if p.handle == nil {
		return nil, errClosed
	}
	var made C.FFIShards
	err := called(func() uint32 {
		made = C.ces_process(p.handle, first(data), C.size_t(len(data)))
		return failedIf(made.shards == nil)
	})
	if err != nil {
		return nil, err
	}
	defer C.ces_free_shards(made)
	shards := make([]ShardData, 0, int(made.count))
	for _, shard := range unsafe.Slice(made.shards, int(made.count)) {
		shards = append(shards, ShardData{copied(shard.data, shard.len)})
	}
	return shards, nil
}

// Reconstruct gives back what Process made shards of.
//
// Present says for each shard whether it is there; nil says that all with data are. Shards may stand in
// any order and be of any number, and damaged ones and those of other objects count as missing. Where
// none of them begins like one, or those that do give nothing back, the others are taken for shards of
// the older implementation, which stand at their index. The error lists what is wrong with which.
func (p *CESPipeline) Reconstruct(shards []ShardData, present []bool) ([]byte, error) {
	if p == nil {
		return nil, errClosed
	}
	p.lock.RLock()
	defer p.lock.RUnlock()
	if p.handle == nil {
		return nil, errClosed
	}
	if present != nil && len(present) != len(shards) {
		return nil, fmt.Errorf("ces: there are %d shards, and it is said of %d whether they are there", len(shards), len(present))
	}
	there := make([][]byte, len(shards))
	isOurs := false
	for i, shard := range shards {
		if present == nil && len(shard.Data) > 0 || present != nil && present[i] {
			there[i] = shard.Data
			isOurs = isOurs || bytes.HasPrefix(shard.Data, magic)
		}
	}
	if !isOurs {
		return p.reconstructOlder(there)
	}
	plain, err := p.reconstruct(there)
	if err == nil {
		return plain, nil
	}
	// One of ours among the older implementation's is one of theirs that is missing.
	theirs, count := make([][]byte, len(there)), 0
	for i, shard := range there {
		if len(shard) > 0 && !bytes.HasPrefix(shard, magic) {
			theirs[i], count = shard, count+1
		}
	}
	if count >= olderData {
		if plain, older := p.reconstructOlder(theirs); older == nil {
			return plain, nil
		}
	}
	return nil, err
}

// reconstruct lets the library read in Go's memory, piece by piece, so that no shard is copied.
func (p *CESPipeline) reconstruct(there [][]byte) ([]byte, error) {
	sources := make([]Source, 0, len(there))
	for _, shard := range there {
		sources = append(sources, bytes.NewReader(shard))
	}
	reader, err := open(sources, p.keys, nil, 1)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	plain := bytes.NewBuffer(make([]byte, 0, room(reader.info.PlainLen, there)))
	if _, err := reader.WriteTo(plain); err != nil {
		return nil, err
	}
	return plain.Bytes(), nil
}

// room is how much memory is taken before there is plaintext: no more than there is of the shards, which
// is enough for what does not compress. The length is the word of whoever wrote the object.
func room(plainLen int64, shards [][]byte) int {
	there := int64(0)
	for _, shard := range shards {
		there += int64(len(shard))
	}
	if plainLen < there {
		return int(plainLen)
	}
	return int(there)
}

// reconstructOlder copies the shards: Go may not lend out pointers to pointers.
func (p *CESPipeline) reconstructOlder(there [][]byte) ([]byte, error) {
	count := len(there)
	room := C.calloc(C.size_t(count+1), C.size_t(unsafe.Sizeof(C.FFIShard{})))
	flags := C.calloc(C.size_t(count+1), C.size_t(unsafe.Sizeof(C.int(0))))
	if room == nil || flags == nil {
		C.free(room)
		C.free(flags)
		return nil, errors.New("ces: there is no memory")
	}
	defer C.free(room)
	defer C.free(flags)
	shards := unsafe.Slice((*C.FFIShard)(room), count)
	isThere := unsafe.Slice((*C.int)(flags), count)
	for i, shard := range there {
		if len(shard) > 0 {
			shards[i] = C.FFIShard{data: (*C.uint8_t)(C.CBytes(shard)), len: C.size_t(len(shard))}
			isThere[i] = 1
			defer C.free(unsafe.Pointer(shards[i].data))
		}
	}
	var result C.FFIResult
	err := called(func() uint32 {
		result = C.ces_reconstruct(p.handle, (*C.FFIShard)(room), C.size_t(count), (*C.int)(flags))
		return failedIf(result.success == 0)
	})
	defer C.ces_free_result(result)
	if err != nil {
		return nil, err
	}
	return copied(result.data, result.data_len), nil
}

// copied is C's bytes in Go's memory, however many.
func copied(data *C.uint8_t, length C.size_t) []byte {
	if data == nil {
		return []byte{}
	}
	return append([]byte(nil), unsafe.Slice((*byte)(data), int(length))...)
}

// first points to the bytes, or nowhere if there are none.
func first(data []byte) *C.uint8_t {
	if len(data) == 0 {
		return nil
	}
	return (*C.uint8_t)(&data[0])
}

// failedIf is for functions that give no status: the library keeps it.
func failedIf(failed bool) uint32 {
	if failed {
		return uint32(C.ces_last_status())
	}
	return C.CES_OK
}

var _ io.WriterTo = (*Reader)(nil)
