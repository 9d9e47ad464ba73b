package ces

// #include <propeller_ces.h>
import "C"

import (
	"encoding/hex"
	"errors"
	"io"
	"runtime/cgo"
	"unsafe"
)

// call is what the library reads from and writes to while it runs. It knows it by a number.
type call struct {
	plain   io.Reader
	sources []Source
	sinks   func(shard uint32) io.Writer
	// failed is what failed first, and panicked what was thrown: no panic crosses the library.
	failed   error
	panicked any
}

// run runs a call that calls back; the cause of a failure is what a reader or writer said.
func (c *call) run(run func(number C.uintptr_t) uint32) error {
	number := cgo.NewHandle(c)
	defer number.Delete()
	return c.runAs(number, run)
}

func (c *call) runAs(number cgo.Handle, run func(number C.uintptr_t) uint32) error {
	c.failed, c.panicked = nil, nil
	err := called(func() uint32 { return run(C.uintptr_t(number)) })
	if c.panicked != nil {
		panic(c.panicked)
	}
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

func (c *call) recovered() {
	if thrown := recover(); thrown != nil {
		c.panicked = thrown
	}
}

func callOf(number C.uintptr_t) *call {
	return cgo.Handle(number).Value().(*call)
}

//export cesGoAudit
func cesGoAudit(number C.uintptr_t, event *C.ces2_event) {
	ring := cgo.Handle(number).Value().(*ring)
	defer func() {
		if thrown := recover(); thrown != nil {
			ring.thrown = thrown
		}
	}()
	ring.tell(Event{
		Action: C.GoString(event.action),
		KeyID:  hex.EncodeToString(octets(event.key_id[:])),
		Label:  C.GoString(&event.label[0]),
		Object: hex.EncodeToString(octets(event.object[:])),
	})
}

//export cesGoRead
func cesGoRead(number C.uintptr_t, buffer *C.uint8_t, length C.size_t) (got C.int64_t) {
	call := callOf(number)
	got = -1
	defer call.recovered()
	n, err := io.ReadFull(call.plain, unsafe.Slice((*byte)(buffer), int(length)))
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		call.keep(err)
		return -1
	}
	return C.int64_t(n)
}

//export cesGoReadAt
func cesGoReadAt(number C.uintptr_t, input C.uint32_t, offset C.uint64_t, buffer *C.uint8_t, length C.size_t) (code C.int) {
	call := callOf(number)
	code = 1
	defer call.recovered()
	into := unsafe.Slice((*byte)(buffer), int(length))
	if len(into) == 0 {
		return 0
	}
	n, err := call.sources[input].ReadAt(into, int64(offset))
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
func cesGoWrite(number C.uintptr_t, shard C.uint32_t, data *C.uint8_t, length C.size_t) (code C.int) {
	call := callOf(number)
	code = 1
	defer call.recovered()
	from := unsafe.Slice((*byte)(data), int(length))
	n, err := call.sinks(uint32(shard)).Write(from)
	if err == nil && n < len(from) {
		err = io.ErrShortWrite
	}
	if err != nil {
		call.keep(err)
		return 1
	}
	return 0
}
