package ces

// #include <stdlib.h>
// #include "callbacks.h"
import "C"

import (
	"encoding/hex"
	"runtime/cgo"
	"unsafe"
)

// Keys are the keys at hand: one to write and to read with, and older ones to read with only.
type Keys struct {
	// Key is what is written with. Zeros, which nobody filled in, are refused.
	Key [32]byte
	// Label is the environment that Key is for, such as "production", or empty for every one.
	Label string
	// Older are keys that were written with before.
	Older [][32]byte
	// Audit is told every use of these keys before anything is done with what came of it, or is nil.
	// What it throws is thrown again when the call is over.
	Audit func(Event)
}

// Event is one use of a key. No part of it is secret.
type Event struct {
	// Action is "wrapped", "unwrapped", "refused" or "rotated".
	Action string
	// KeyID is the id of the key with which it was done, or which was missing.
	KeyID string
	// Label and Object are those of the object.
	Label, Object string
}

// ring is the library's ring of keys, and who is told of their use.
type ring struct {
	keys   *C.ces2_keys
	number cgo.Handle
	tell   func(Event)
	// ending is how the hook ended, if it did not return.
	ending
}

// free frees the ring, and throws what its hook threw.
func (r *ring) free() {
	C.ces2_keys_free(r.keys)
	if r.tell != nil {
		r.number.Delete()
	}
	r.goOn()
}

// ring makes the library's ring of them, which has to be freed.
func (k Keys) ring() (*ring, error) {
	defer zero(&k.Key)
	if err := noNUL("Keys.Label", k.Label); err != nil {
		return nil, err
	}
	var keys *C.ces2_keys
	label, free := text(k.Label)
	defer free()
	err := called(func() uint32 {
		return uint32(C.ces2_keys_new((*C.uint8_t)(&k.Key[0]), label, &keys))
	})
	if err != nil {
		return nil, err
	}
	for _, older := range k.Older {
		older := older
		err := called(func() uint32 {
			return uint32(C.ces2_keys_add(keys, (*C.uint8_t)(&older[0]), nil))
		})
		zero(&older)
		if err != nil {
			C.ces2_keys_free(keys)
			return nil, err
		}
	}
	ring := &ring{keys: keys, tell: k.Audit}
	if k.Audit != nil {
		ring.number = cgo.NewHandle(ring)
		C.ces_go_audit(keys, C.uintptr_t(ring.number))
	}
	return ring, nil
}

// KeyFromEnvironment gives the key in CES_ENCRYPTION_KEY, 64 hexadecimal digits. A variable that is
// missing or malformed is an error.
func KeyFromEnvironment() (key [32]byte, err error) {
	err = called(func() uint32 {
		return uint32(C.ces2_key_from_environment((*C.uint8_t)(&key[0])))
	})
	return key, err
}

// RandomKey makes a key. What it seals is lost with it.
func RandomKey() (key [32]byte, err error) {
	err = called(func() uint32 {
		return uint32(C.ces2_key_random((*C.uint8_t)(&key[0])))
	})
	return key, err
}

// TenantKey derives a tenant's key from a master secret of at least 32 bytes: HKDF-SHA256 with the salt
// "wgt-ces-v1" and the info "ces-pipeline-" and the tenant's name.
//
// A tenant's key tells nothing about another's, nor about the master secret.
func TenantKey(master []byte, tenant string) (key [32]byte, err error) {
	name := []byte(tenant)
	err = called(func() uint32 {
		return uint32(C.ces2_key_for_tenant(
			first(master), C.size_t(len(master)), first(name), C.size_t(len(name)), (*C.uint8_t)(&key[0]),
		))
	})
	return key, err
}

// KeyID names a key without revealing it: 16 hexadecimal digits, which also stand in every shard. It is
// empty for zeros, which are no key.
func KeyID(key [32]byte) string {
	defer zero(&key)
	var id [8]byte
	err := called(func() uint32 {
		return uint32(C.ces2_key_id((*C.uint8_t)(&key[0]), (*C.uint8_t)(&id[0])))
	})
	if err != nil {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// text is a text for C, or NULL if it is empty; free has to be called.
func text(text string) (*C.char, func()) {
	if text == "" {
		return nil, func() {}
	}
	c := C.CString(text)
	return c, func() { C.free(unsafe.Pointer(c)) }
}

func zero(key *[32]byte) {
	for i := range key {
		key[i] = 0
	}
}
