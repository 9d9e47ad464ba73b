package ces

// #include <stdlib.h>
// #include "callbacks.h"
import "C"

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
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
}

// NewWriter is Encode for whoever writes plaintext and does not read it. Always close the writer, or
// end it with Abort.
func NewWriter(shards []io.Writer, keys Keys, options Options) *Writer {
	reader, pipe := io.Pipe()
	writer := &Writer{pipe: pipe, done: make(chan struct{})}
	go func() {
		defer close(writer.done)
		writer.info, writer.err = Encode(shards, reader, keys, options)
		// Whoever writes learns why nothing is taken any more.
		reader.CloseWithError(writer.err)
	}()
	return writer
}

// Write takes plaintext. It gives the error for which there will be no object.
func (w *Writer) Write(plain []byte) (int, error) {
	return w.pipe.Write(plain)
}

// Close writes what is left, and says whether the object is whole.
func (w *Writer) Close() error {
	w.pipe.Close()
	<-w.done
	return w.err
}

// Abort ends the writer without an object. What was written to the shards is of no use.
func (w *Writer) Abort() {
	w.pipe.CloseWithError(errors.New("ces: the writer was aborted"))
	<-w.done
}

// Info is what the object is, after Close gave no error.
func (w *Writer) Info() Info {
	<-w.done
	return w.info
}

// Source is a shard: bytes.Reader, strings.Reader and io.SectionReader are some, and [File] makes one of
// a file. It is used by one goroutine at a time.
type Source interface {
	io.ReaderAt
	Size() int64
}

// File makes a source of a file, with the length that it has now.
func File(file *os.File) (Source, error) {
	about, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(file, 0, about.Size()), nil
}

// Wanted says which object is wanted. What is empty may be any.
type Wanted struct {
	// Object is the object's id.
	Object *[16]byte
	// Digest is the object's digest, which names all that is in it.
	Digest *[32]byte
	// Label is the object's label: another environment's object is refused before a key is tried.
	Label string
}

// wantedOf makes one in C's memory, because it has pointers; free has to be called.
func wantedOf(wanted *Wanted) (*C.ces2_wanted, func()) {
	if wanted == nil {
		return nil, func() {}
	}
	var blocks []unsafe.Pointer
	room := (*C.ces2_wanted)(C.calloc(1, C.size_t(unsafe.Sizeof(C.ces2_wanted{}))))
	blocks = append(blocks, unsafe.Pointer(room))
	if wanted.Object != nil {
		room.object = (*C.uint8_t)(C.CBytes(wanted.Object[:]))
		blocks = append(blocks, unsafe.Pointer(room.object))
	}
	if wanted.Digest != nil {
		room.digest = (*C.uint8_t)(C.CBytes(wanted.Digest[:]))
		blocks = append(blocks, unsafe.Pointer(room.digest))
	}
	if wanted.Label != "" {
		room.label = C.CString(wanted.Label)
		blocks = append(blocks, unsafe.Pointer(room.label))
	}
	return room, func() {
		for _, block := range blocks {
			C.free(block)
		}
	}
}

// sizesOf gives the sizes of sources; a nil one is empty, which counts as missing.
func sizesOf(sources []Source) (*C.uint64_t, C.size_t) {
	sizes := make([]C.uint64_t, len(sources))
	for i, source := range sources {
		if source != nil && source.Size() > 0 {
			sizes[i] = C.uint64_t(source.Size())
		}
	}
	if len(sizes) == 0 {
		return nil, 0
	}
	return &sizes[0], C.size_t(len(sizes))
}

// Reader reads an object's plaintext: all of it, or a part.
//
// ReadAt and the other methods may be called by several goroutines; they take turns.
type Reader struct {
	lock   sync.Mutex
	handle *C.ces2_reader
	call   *call
	number cgo.Handle
	info   Info
	at     int64
}

// Open opens an object of shards, which may stand in any order; nil stands for one that is missing, and
// damaged ones and those of other objects may be among them. Wanted may be nil. Close the reader.
//
// With more than one thread, segments are opened ahead.
func Open(shards []Source, keys Keys, wanted *Wanted, threads int) (*Reader, error) {
	ring, err := keys.ring()
	if err != nil {
		return nil, err
	}
	defer ring.free()
	return open(shards, ring.keys, wanted, threads)
}

func open(shards []Source, keys *C.ces2_keys, wanted *Wanted, threads int) (*Reader, error) {
	if threads < 1 || threads > 256 {
		return nil, fmt.Errorf("ces: there are 1 to 256 threads, not %d", threads)
	}
	chosen, free := wantedOf(wanted)
	defer free()
	reader := &Reader{call: &call{sources: shards}}
	reader.number = cgo.NewHandle(reader.call)
	sizes, count := sizesOf(shards)
	err := reader.calls(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_open(keys, sizes, count, number, chosen, C.uint32_t(threads), &reader.handle))
	})
	if err != nil {
		reader.number.Delete()
		return nil, err
	}
	runtime.SetFinalizer(reader, (*Reader).Close)
	var info C.ces2_info
	if err := called(func() uint32 { return uint32(C.ces2_reader_info(reader.handle, &info)) }); err != nil {
		reader.Close()
		return nil, err
	}
	reader.info = infoOf(&info)
	return reader, nil
}

// calls runs a call that reads shards; a shard that fails is not the call's failure.
func (r *Reader) calls(run func(number C.uintptr_t) uint32) error {
	return r.call.runAs(r.number, run)
}

// Info is what the object is.
func (r *Reader) Info() Info {
	return r.info
}

// Size is the length of the plaintext, in bytes.
func (r *Reader) Size() int64 {
	return r.info.PlainLen
}

// Damage is what is wrong with the shards as far as they had to be read, in words; empty if nothing is.
func (r *Reader) Damage() string {
	r.lock.Lock()
	defer r.lock.Unlock()
	var damage *C.char
	if err := called(func() uint32 { return uint32(C.ces2_reader_damage(r.handle, &damage)) }); err != nil {
		return err.Error()
	}
	defer C.ces2_free_text(damage)
	return C.GoString(damage)
}

// ReadAt reads plaintext as io.ReaderAt says. Only the segments that it is in are read.
func (r *Reader) ReadAt(buffer []byte, offset int64) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.readAt(buffer, offset)
}

func (r *Reader) readAt(buffer []byte, offset int64) (int, error) {
	if r.handle == nil {
		return 0, errors.New("ces: the reader is closed")
	}
	if offset < 0 {
		return 0, fmt.Errorf("ces: there is nothing at %d", offset)
	}
	var end error
	if left := r.info.PlainLen - offset; left < int64(len(buffer)) {
		if left <= 0 {
			return 0, io.EOF
		}
		buffer, end = buffer[:left], io.EOF
	}
	err := r.calls(func(C.uintptr_t) uint32 {
		return uint32(C.ces2_reader_read_at(r.handle, C.uint64_t(offset), first(buffer), C.size_t(len(buffer))))
	})
	if err != nil {
		return 0, err
	}
	return len(buffer), end
}

// Read reads plaintext as io.Reader says. That the object is whole is known only to whoever reads with
// WriteTo, or with io.Copy, which calls it.
func (r *Reader) Read(buffer []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	n, err := r.readAt(buffer, r.at)
	r.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Seek sets where Read goes on, as io.Seeker says.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.info.PlainLen
	default:
		return 0, fmt.Errorf("ces: whence is 0, 1 or 2, not %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("ces: nothing is before the beginning")
	}
	r.at = offset
	return offset, nil
}

// WriteTo writes the whole plaintext, wherever Read stands. Each segment is authenticated before it is
// written; that the object is whole is known at the end only: after an error, what was written is not to
// be used.
func (r *Reader) WriteTo(to io.Writer) (int64, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.handle == nil {
		return 0, errors.New("ces: the reader is closed")
	}
	counted := &counting{to: to}
	r.call.sinks = func(uint32) io.Writer { return counted }
	err := r.calls(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_copy(r.handle, number))
	})
	if err == nil {
		r.at = r.info.PlainLen
	}
	return counted.written, err
}

type counting struct {
	to      io.Writer
	written int64
}

func (c *counting) Write(data []byte) (int, error) {
	n, err := c.to.Write(data)
	c.written += int64(n)
	return n, err
}

// Close frees the reader, and overwrites its keys. It may be called twice. The shards stay open.
func (r *Reader) Close() error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.handle != nil {
		C.ces2_reader_free(r.handle)
		r.number.Delete()
		r.handle = nil
		runtime.SetFinalizer(r, nil)
	}
	return nil
}
