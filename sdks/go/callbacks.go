package ces

// #include <propeller_ces.h>
import "C"

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/cgo"
	"strings"
	"unsafe"
)

// call is what the library reads from and writes to while it runs. It knows it by a number.
type call struct {
	plain   io.Reader
	sources []Source
	sinks   func(shard uint32) io.Writer
	// isOver says that plain said io.EOF: it is not asked again.
	isOver bool
	// failed is what failed first.
	failed error
	ending
}

// ending is how what is the caller's ended, if it did not return: neither crosses the library.
type ending struct {
	// thrown is what it threw, and exited says that it called runtime.Goexit.
	thrown any
	exited bool
}

// guard runs what is the caller's, and says whether it returned.
//
// runtime.Goexit ends a goroutine whatever is on its stack, and would cut off the library's frames where
// they stand. So it gets a goroutine of its own, unless it is known never to call it.
func (e *ending) guard(isKnown bool, run func()) bool {
	if e.isCutOff() {
		return false
	}
	returned := false
	guarded := func() {
		defer func() {
			e.thrown = recover()
			e.exited = !returned && e.thrown == nil
		}()
		run()
		returned = true
	}
	if isKnown {
		guarded()
		return returned
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		guarded()
	}()
	<-done
	return returned
}

func (e *ending) isCutOff() bool {
	return e.thrown != nil || e.exited
}

// goOn does on the caller's goroutine what it did elsewhere, when no frame of the library's is left.
func (e *ending) goOn() {
	if e.thrown != nil {
		panic(e.thrown)
	}
	if e.exited {
		runtime.Goexit()
	}
}

// isKnown says that what reads or writes is of a type that throws, but never ends its goroutine. It is
// spared one for each piece.
func isKnown(what any) bool {
	switch what := what.(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader, *os.File, *io.PipeReader, *io.PipeWriter, fileSource:
		return true
	case *counting:
		return isKnown(what.to)
	}
	return false
}

// run runs a call that calls back; the cause of a failure is what a reader or writer said.
func (c *call) run(run func(number C.uintptr_t) uint32) error {
	number := cgo.NewHandle(c)
	defer number.Delete()
	return c.runAs(number, run)
}

func (c *call) runAs(number cgo.Handle, run func(number C.uintptr_t) uint32) error {
	c.failed, c.ending = nil, ending{}
	err := called(func() uint32 { return run(C.uintptr_t(number)) })
	c.goOn()
	var failure *Error
	if errors.As(err, &failure) {
		failure.cause = c.failed
	}
	return err
}

// keep remembers what failed first.
func (c *call) keep(err error) {
	if c.failed == nil {
		c.failed = err
	}
}

func callOf(number C.uintptr_t) *call {
	return cgo.Handle(number).Value().(*call)
}

//export cesGoAudit
func cesGoAudit(number C.uintptr_t, event *C.ces2_event) {
	ring := cgo.Handle(number).Value().(*ring)
	told := Event{
		Action: C.GoString(event.action),
		KeyID:  hex.EncodeToString(octets(event.key_id[:])),
		Label:  C.GoString(&event.label[0]),
		Object: hex.EncodeToString(octets(event.object[:])),
	}
	ring.guard(false, func() { ring.tell(told) })
}

//export cesGoRead
func cesGoRead(number C.uintptr_t, buffer *C.uint8_t, length C.size_t) C.int64_t {
	call := callOf(number)
	into := unsafe.Slice((*byte)(buffer), int(length))
	n, err := 0, error(nil)
	if !call.guard(isKnown(call.plain), func() { n, err = call.fill(into) }) {
		return -1
	}
	if err != nil {
		call.keep(err)
		return -1
	}
	return C.int64_t(n)
}

// idleMax is how often a reader may give nothing before it is taken for broken.
const idleMax = 100

// fill reads plaintext until the buffer is full, or the reader ends. Only io.EOF says that it does: an
// io.ErrUnexpectedEOF of its own says that it was cut off.
func (c *call) fill(into []byte) (int, error) {
	done, idle := 0, 0
	for done < len(into) && !c.isOver {
		n, err := c.plain.Read(into[done:])
		if n < 0 || n > len(into)-done {
			return 0, errors.New("ces: the reader gave more than it was asked for")
		}
		done += n
		if err != nil && err != io.EOF {
			return 0, err
		}
		c.isOver = err == io.EOF
		if n > 0 {
			idle = 0
			continue
		}
		if idle++; idle == idleMax {
			return 0, io.ErrNoProgress
		}
	}
	return done, nil
}

//export cesGoReadAt
func cesGoReadAt(number C.uintptr_t, input C.uint32_t, offset C.uint64_t, buffer *C.uint8_t, length C.size_t) C.int {
	call := callOf(number)
	into := unsafe.Slice((*byte)(buffer), int(length))
	if len(into) == 0 {
		return 0
	}
	source := call.sources[input]
	n, err := 0, error(nil)
	if !call.guard(isKnown(source), func() { n, err = source.ReadAt(into, int64(offset)) }) {
		return 1
	}
	if n == len(into) {
		return 0
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	call.keep(err)
	return 1
}

//export cesGoWrite
func cesGoWrite(number C.uintptr_t, shard C.uint32_t, data *C.uint8_t, length C.size_t) C.int {
	call := callOf(number)
	from := unsafe.Slice((*byte)(data), int(length))
	sink := call.sinks(uint32(shard))
	n, err := 0, error(nil)
	if !call.guard(isKnown(sink), func() { n, err = sink.Write(from) }) {
		return 1
	}
	if err == nil && n != len(from) {
		err = io.ErrShortWrite
	}
	if err != nil {
		call.keep(err)
		return 1
	}
	return 0
}
