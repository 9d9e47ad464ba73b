package ces

// #include <stdlib.h>
// #include "callbacks.h"
import "C"

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Cipher is what an object is sealed with.
type Cipher uint32

const (
	// XChaCha20Poly1305 is the default, the same on every machine.
	XChaCha20Poly1305 Cipher = C.CES2_XCHACHA20_POLY1305
	// AES256GCM is faster where the processor has instructions for it.
	AES256GCM Cipher = C.CES2_AES_256_GCM
)

// Options say how an object is written. Begin with [DefaultOptions].
type Options struct {
	// Data is how many shards give an object back, 1 to 128; Parity is how many may be lost, 0 to 128.
	Data, Parity int
	Cipher       Cipher
	// Level is 0 (not compressed), or 1 (fast) to 22 (small).
	Level int
	// SegmentSize is a power of two from 65,536 to 8,388,608 bytes.
	SegmentSize int
	// Label is the environment that the object belongs to; empty for that of the key.
	Label string
	// Threads is how many work at once, 1 to 256; each holds two to three segments.
	Threads int
}

// DefaultOptions are 8 + 4 shards, XChaCha20-Poly1305, level 3, segments of 1 MiB, and one thread.
func DefaultOptions() Options {
	return Options{Data: 8, Parity: 4, Cipher: XChaCha20Poly1305, Level: 3, SegmentSize: 1 << 20, Threads: 1}
}

func (o Options) handle() (*C.ces2_options, error) {
	for name, value := range map[string]int{
		"Data": o.Data, "Parity": o.Parity, "Level": o.Level, "SegmentSize": o.SegmentSize, "Threads": o.Threads,
	} {
		// Everything that is good is far from here; C's numbers would wrap.
		if value < 0 || value > 1<<30 {
			return nil, fmt.Errorf("ces: Options.%s cannot be %d", name, value)
		}
	}
	if err := noNUL("Options.Label", o.Label); err != nil {
		return nil, err
	}
	label, free := text(o.Label)
	defer free()
	var options *C.ces2_options
	set := []func() uint32{
		func() uint32 { return uint32(C.ces2_options_new(&options)) },
		func() uint32 {
			return uint32(C.ces2_options_geometry(options, C.uint32_t(o.Data), C.uint32_t(o.Parity)))
		},
		func() uint32 { return uint32(C.ces2_options_cipher(options, C.uint32_t(o.Cipher))) },
		func() uint32 { return uint32(C.ces2_options_level(options, C.int32_t(o.Level))) },
		func() uint32 { return uint32(C.ces2_options_segment_size(options, C.uint32_t(o.SegmentSize))) },
		func() uint32 { return uint32(C.ces2_options_label(options, label)) },
		func() uint32 { return uint32(C.ces2_options_threads(options, C.uint32_t(o.Threads))) },
	}
	for _, set := range set {
		if err := called(set); err != nil {
			C.ces2_options_free(options)
			return nil, err
		}
	}
	return options, nil
}

// Info is what an object is.
type Info struct {
	// Object is its id, 32 hexadecimal digits.
	Object string
	// Digest names the object and all that is in it: whoever knows it can verify and repair the object
	// without a key.
	Digest [32]byte
	// KeyID is the id of the key that it is under, as of [KeyID].
	KeyID string
	// Label is the environment that it belongs to, or empty.
	Label        string
	Cipher       Cipher
	Data, Parity int
	SegmentSize  int
	// PlainLen is the length of the plaintext, in bytes.
	PlainLen int64
	Segments int64
}

func infoOf(info *C.ces2_info) Info {
	return Info{
		Object:      hex.EncodeToString(octets(info.object[:])),
		Digest:      digestOf(info.digest),
		KeyID:       hex.EncodeToString(octets(info.key_id[:])),
		Label:       C.GoString(&info.label[0]),
		Cipher:      Cipher(info.cipher),
		Data:        int(info.data),
		Parity:      int(info.parity),
		SegmentSize: int(info.segment_size),
		PlainLen:    int64(info.plain_len),
		Segments:    int64(info.segments),
	}
}

func octets(from []C.uint8_t) []byte {
	to := make([]byte, len(from))
	for i, octet := range from {
		to[i] = byte(octet)
	}
	return to
}

func digestOf(from [32]C.uint8_t) (to [32]byte) {
	copy(to[:], octets(from[:]))
	return to
}

// Encode reads plain to its end, and writes shard i of a new object to shards[i], of which there are
// options.Data + options.Parity.
//
// If it fails, what was written is of no use.
func Encode(shards []io.Writer, plain io.Reader, keys Keys, options Options) (Info, error) {
	if len(shards) != options.Data+options.Parity {
		return Info{}, fmt.Errorf("ces: an object of %d + %d shards cannot go to %d writers", options.Data, options.Parity, len(shards))
	}
	chosen, err := options.handle()
	if err != nil {
		return Info{}, err
	}
	defer C.ces2_options_free(chosen)
	ring, err := keys.ring()
	if err != nil {
		return Info{}, err
	}
	defer ring.free()
	call := &call{plain: plain, sinks: func(shard uint32) io.Writer { return shards[shard] }}
	var info C.ces2_info
	err = call.run(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_encode(chosen, ring.keys, number, &info))
	})
	if err != nil {
		return Info{}, err
	}
	return infoOf(&info), nil
}

// Writer writes a new object as its plaintext comes. The object is there when Close gave no error.
type Writer struct {
	pipe *io.PipeWriter
	done chan struct{}
	info Info
	err  error
	// thrown is what a shard's writer, or who is told of uses of keys, threw.
	thrown any
}

// NewWriter is Encode for whoever writes plaintext and does not read it. Always close the writer, or
// end it with Abort. What a shard's writer throws is thrown again by Close, Abort and Info. One that calls
// runtime.Goexit ends the object, and nobody's goroutine.
func NewWriter(shards []io.Writer, keys Keys, options Options) *Writer {
	reader, pipe := io.Pipe()
	writer := &Writer{pipe: pipe, done: make(chan struct{}), err: errCutOff}
	go func() {
		defer close(writer.done)
		defer func() {
			// Thrown on, it would end the process, and nobody could catch it.
			writer.thrown = recover()
			// Whoever writes learns why nothing is taken any more.
			reader.CloseWithError(writer.err)
		}()
		writer.info, writer.err = Encode(shards, reader, keys, options)
	}()
	return writer
}

// errCutOff stands for what ended otherwise than by returning.
var errCutOff = errors.New("ces: what the writer called back did not return")

// wait waits for the object's end, and throws what was thrown on the way.
func (w *Writer) wait() {
	<-w.done
	if w.thrown != nil {
		panic(w.thrown)
	}
}

// Write takes plaintext. It gives the error for which there will be no object.
func (w *Writer) Write(plain []byte) (int, error) {
	return w.pipe.Write(plain)
}

// Close writes what is left, and says whether the object is whole.
func (w *Writer) Close() error {
	w.pipe.Close()
	w.wait()
	return w.err
}

// Abort ends the writer without an object. What was written to the shards is of no use.
func (w *Writer) Abort() {
	w.pipe.CloseWithError(errors.New("ces: the writer was aborted"))
	w.wait()
}

// Info is what the object is, after Close gave no error.
func (w *Writer) Info() Info {
	w.wait()
	return w.info
}
