package ces

// #include "callbacks.h"
import "C"

import (
	"fmt"
	"io"
)

// HeaderLen is how many bytes of a shard Rotate changes: the first ones.
const HeaderLen = 120

// Report is what the shards of an object are like.
type Report struct {
	Digest   [32]byte
	PlainLen int64
	Segments int64
	// Lost is how many segments have too few good pieces.
	Lost int64
	// Agreeing is 0 if the digest was given, which proves what is said here; else how many shards agree.
	Agreeing int
	// Whole says that nothing is wrong and nothing missing; Readable that all segments can be read.
	Whole, Readable bool
	// Damage is what is wrong, in words, or empty.
	Damage string
}

// Verify reads every byte of shards without a key, and says what is wrong with which. Whoever wants the
// digest learns whether these are the shards of that object; else only whether they agree.
func Verify(shards []Source, wanted *Wanted) (Report, error) {
	if err := wanted.check(); err != nil {
		return Report{}, err
	}
	chosen, free := wantedOf(wanted)
	defer free()
	sizes, count := sizesOf(shards)
	var report C.ces2_report
	var damage *C.char
	// It is NULL where the call fails, and there where a shard throws in one that does not.
	defer func() { C.ces2_free_text(damage) }()
	call := &call{sources: shards}
	err := call.run(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_verify(sizes, count, number, chosen, &report, &damage))
	})
	if err != nil {
		return Report{}, err
	}
	return Report{
		Digest:   digestOf(report.digest),
		PlainLen: int64(report.plain_len),
		Segments: int64(report.segments),
		Lost:     int64(report.lost),
		Agreeing: int(report.agreeing),
		Whole:    report.whole == 1,
		Readable: report.readable == 1,
		Damage:   C.GoString(damage),
	}, nil
}

// Repair rebuilds the shards that rebuilt names by their index, bit for bit, without a key. Want the
// digest. Without it, shards are built of what the others agree on, and nobody votes: if there are enough
// of two objects, or one that is whole by itself contradicts others, it is refused, and asks for the
// digest. If it fails, what was written is of no use.
func Repair(shards []Source, rebuilt map[int]io.Writer, wanted *Wanted) error {
	if err := wanted.check(); err != nil {
		return err
	}
	chosen, free := wantedOf(wanted)
	defer free()
	indices := make([]C.uint32_t, 0, len(rebuilt)+1)
	for index := range rebuilt {
		if index < 0 || index > 255 {
			return fmt.Errorf("ces: no object has a shard %d", index)
		}
		indices = append(indices, C.uint32_t(index))
	}
	named := C.size_t(len(indices))
	// So that the first one has an address.
	indices = append(indices, 0)
	sizes, count := sizesOf(shards)
	call := &call{sources: shards, sinks: func(shard uint32) io.Writer { return rebuilt[int(shard)] }}
	return call.run(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_repair(sizes, count, number, chosen, &indices[0], named))
	})
}

// Rotate puts the data key in a shard's header, its first HeaderLen bytes, under to.Key, and says whether
// the header changed. Do it for each shard of an object, and write the header over the old one; after an
// interruption, do it again. Uses of both keys are told to to.Audit.
func Rotate(header []byte, from, to Keys) (bool, error) {
	if len(header) != HeaderLen {
		return false, fmt.Errorf("ces: a header has %d bytes, not %d", HeaderLen, len(header))
	}
	old, err := from.ring()
	if err != nil {
		return false, err
	}
	defer old.free()
	young, err := to.ring()
	if err != nil {
		return false, err
	}
	defer young.free()
	var changed C.int
	err = called(func() uint32 {
		return uint32(C.ces2_rotate(first(header), old.keys, young.keys, &changed))
	})
	return changed == 1, err
}
