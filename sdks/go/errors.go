package ces

// #include <propeller_ces.h>
import "C"

import (
	"fmt"
	"runtime"
	"strings"
)

// Status says why a call failed.
type Status int

// Why a call failed; the numbers are those of the C library.
const (
	StatusNull         Status = C.CES_NULL
	StatusArgument     Status = C.CES_ARGUMENT
	StatusKey          Status = C.CES_KEY             // there is no key, or what is there is none
	StatusKeyNotAtHand Status = C.CES_KEY_NOT_AT_HAND // the object's key is another one
	StatusRefused      Status = C.CES_REFUSED         // another environment's, another version, or forged
	StatusLost         Status = C.CES_LOST            // too many shards are bad or missing
	StatusRange        Status = C.CES_RANGE           // the object ends before
	StatusCallback     Status = C.CES_CALLBACK        // a reader or writer of the caller's failed
	StatusSystem       Status = C.CES_SYSTEM          // no memory, no randomness or no thread
	StatusSpent        Status = C.CES_SPENT
	StatusPanic        Status = C.CES_PANIC // a bug in the library
)

// Error is why a call failed. errors.As finds it; its cause is what a reader or writer said.
type Error struct {
	Status  Status
	Message string
	cause   error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return "ces: " + e.Message + ": " + e.cause.Error()
	}
	return "ces: " + e.Message
}

// Unwrap gives what a reader or writer of the caller's said, if one failed.
func (e *Error) Unwrap() error {
	return e.cause
}

// noNUL refuses a text that C would take for a shorter one.
func noNUL(what, text string) error {
	if strings.IndexByte(text, 0) < 0 {
		return nil
	}
	return &Error{Status: StatusArgument, Message: fmt.Sprintf("%s has no NUL in it: %q", what, text)}
}

// called runs one call of the library, and gives the text that belongs to it, which is the thread's.
func called(run func() uint32) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if run() == C.CES_OK {
		return nil
	}
	message := "it failed"
	if text := C.ces_last_error(); text != nil {
		message = C.GoString(text)
	}
	return &Error{Status: Status(C.ces_last_status()), Message: message}
}
