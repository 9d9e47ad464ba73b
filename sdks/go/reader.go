package ces

// #include <stdlib.h>
// #include "callbacks.h"
import "C"

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
)

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
	return fileSource{file, about.Size()}, nil
}

type fileSource struct {
	*os.File
	size int64
}

func (f fileSource) Size() int64 { return f.size }

// Wanted says which object is wanted. What is empty may be any.
type Wanted struct {
	// Object is the object's id.
	Object *[16]byte
	// Digest is the object's digest, which names all that is in it.
	Digest *[32]byte
	// Label is the object's label: another environment's object is refused before a key is tried.
	Label string
}

func (w *Wanted) check() error {
	if w == nil {
		return nil
	}
	return noNUL("Wanted.Label", w.Label)
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
	if err := wanted.check(); err != nil {
		return nil, err
	}
	chosen, free := wantedOf(wanted)
	defer free()
	reader := &Reader{call: &call{sources: shards}}
	reader.number = cgo.NewHandle(reader.call)
	isOpen := false
	defer func() {
		// After an error, and when a shard throws.
		if !isOpen {
			reader.Close()
		}
	}()
	sizes, count := sizesOf(shards)
	err := reader.calls(func(number C.uintptr_t) uint32 {
		return uint32(C.ces_go_open(keys, sizes, count, number, chosen, C.uint32_t(threads), &reader.handle))
	})
	if err != nil {
		return nil, err
	}
	var info C.ces2_info
	if err := called(func() uint32 { return uint32(C.ces2_reader_info(reader.handle, &info)) }); err != nil {
		return nil, err
	}
	reader.info = infoOf(&info)
	runtime.SetFinalizer(reader, (*Reader).Close)
	isOpen = true
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
	defer func() { r.call.sinks = nil }()
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
	if r.number != 0 {
		C.ces2_reader_free(r.handle)
		r.number.Delete()
		r.handle, r.number = nil, 0
		runtime.SetFinalizer(r, nil)
	}
	return nil
}
