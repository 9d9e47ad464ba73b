package ces

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// cutOff gives some plaintext, and then an error.
type cutOff struct {
	left int
	err  error
}

func (c *cutOff) Read(buffer []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n := c.left
	if n > len(buffer) {
		n = len(buffer)
	}
	c.left -= n
	return n, nil
}

func twelve() []io.Writer {
	shards := make([]io.Writer, 12)
	for i := range shards {
		shards[i] = &bytes.Buffer{}
	}
	return shards
}

func TestOnlyEOFEndsThePlaintext(t *testing.T) {
	for _, broken := range []error{io.ErrUnexpectedEOF, io.ErrClosedPipe, nil} {
		_, err := Encode(twelve(), &cutOff{5000, broken}, Keys{Key: [32]byte{7}}, DefaultOptions())
		expected := broken
		if broken == nil {
			expected = io.ErrNoProgress
		}
		if !errors.Is(err, expected) {
			t.Fatal(broken, err)
		}
	}
	info, err := Encode(twelve(), &cutOff{5000, io.EOF}, Keys{Key: [32]byte{7}}, DefaultOptions())
	if err != nil || info.PlainLen != 5000 {
		t.Fatal(info, err)
	}
}

func TestAKeyOfZerosIsRefused(t *testing.T) {
	var zeros [32]byte
	isRefused := func(err error) bool {
		var failure *Error
		return errors.As(err, &failure) && failure.Status == StatusKey
	}
	if NewCESPipelineWithKey(3, zeros) != nil {
		t.Fatal("there is a pipeline")
	}
	if _, err := OpenCESPipeline(3, zeros); !isRefused(err) {
		t.Fatal(err)
	}
	if _, err := Encode(twelve(), strings.NewReader("text"), Keys{}, DefaultOptions()); !isRefused(err) {
		t.Fatal(err)
	}
	if _, err := Open(nil, Keys{Key: [32]byte{7}, Older: [][32]byte{zeros}}, nil, 1); !isRefused(err) {
		t.Fatal(err)
	}
	if KeyID(zeros) != "" {
		t.Fatal(KeyID(zeros))
	}
}

func TestALabelWithANULIsRefused(t *testing.T) {
	isRefused := func(err error) bool {
		var failure *Error
		return errors.As(err, &failure) && failure.Status == StatusArgument && strings.Contains(err.Error(), "no NUL")
	}
	keys := Keys{Key: [32]byte{7}}
	options := DefaultOptions()
	options.Label = "test\x00x"
	if _, err := Encode(twelve(), strings.NewReader("text"), keys, options); !isRefused(err) {
		t.Fatal(err)
	}
	wanted := &Wanted{Label: "test\x00x"}
	if _, err := Open(nil, keys, wanted, 1); !isRefused(err) {
		t.Fatal(err)
	}
	if _, err := Verify(nil, wanted); !isRefused(err) {
		t.Fatal(err)
	}
	if err := Repair(nil, nil, wanted); !isRefused(err) {
		t.Fatal(err)
	}
	keys.Label = "test\x00x"
	if _, err := Open(nil, keys, nil, 1); !isRefused(err) {
		t.Fatal(err)
	}
}

// throwing throws whatever is asked of it.
type throwing struct{}

func (throwing) Write([]byte) (int, error)         { panic("thrown") }
func (throwing) ReadAt([]byte, int64) (int, error) { panic("thrown") }
func (throwing) Size() int64                       { return 1000 }

func thrownBy(run func()) (thrown any) {
	defer func() { thrown = recover() }()
	run()
	return nil
}

func TestWhatAWritersShardThrowsIsThrownToWhoeverEndsTheWriter(t *testing.T) {
	shards := twelve()
	shards[3] = throwing{}
	for _, end := range []func(*Writer){
		func(w *Writer) { w.Close() },
		func(w *Writer) { w.Abort() },
		func(w *Writer) { w.Info() },
	} {
		writer := NewWriter(shards, Keys{Key: [32]byte{7}}, DefaultOptions())
		// The heads of the shards are written before there is plaintext: this does not wait for ever.
		for i := 0; i < 100; i++ {
			if _, err := writer.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		if thrown := thrownBy(func() { end(writer) }); thrown != "thrown" {
			t.Fatal(thrown)
		}
		if thrown := thrownBy(func() { writer.Close() }); thrown != "thrown" {
			t.Fatal(thrown)
		}
	}
}

func TestWhatAShardThrowsWhileItIsOpenedIsThrownOn(t *testing.T) {
	keys := Keys{Key: [32]byte{7}}
	shards := twelve()
	if _, err := Encode(shards, strings.NewReader("text"), keys, DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	// With and without enough others, so that the library opens the object or does not.
	sources := []Source{throwing{}}
	for i := 0; i < 2; i++ {
		if thrown := thrownBy(func() { Open(sources, keys, nil, 1) }); thrown != "thrown" {
			t.Fatal(thrown)
		}
		for _, shard := range shards[1:] {
			sources = append(sources, bytes.NewReader(shard.(*bytes.Buffer).Bytes()))
		}
	}
}

// exiting ends the goroutine that it is called on, as testing.T.FailNow does.
type exiting struct{}

func (exiting) Read([]byte) (int, error)          { runtime.Goexit(); return 0, nil }
func (exiting) Write([]byte) (int, error)         { runtime.Goexit(); return 0, nil }
func (exiting) ReadAt([]byte, int64) (int, error) { runtime.Goexit(); return 0, nil }
func (exiting) Size() int64                       { return 1000 }

// exits says whether run ended its goroutine.
func exits(run func()) bool {
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
		returned = true
	}()
	<-done
	return !returned
}

func TestWhatEndsItsGoroutineDoesNotCutOffTheLibrary(t *testing.T) {
	keys := Keys{Key: [32]byte{7}}
	options := DefaultOptions()
	options.Threads = 2
	shards := twelve()
	if _, err := Encode(shards, strings.NewReader("text"), keys, options); err != nil {
		t.Fatal(err)
	}
	var sources []Source
	for _, shard := range shards {
		sources = append(sources, bytes.NewReader(shard.(*bytes.Buffer).Bytes()))
	}
	reader, err := Open(sources, keys, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	sinks := twelve()
	sinks[3] = exiting{}
	told := keys
	told.Audit = func(Event) { runtime.Goexit() }
	for name, run := range map[string]func(){
		"a reader":    func() { Encode(twelve(), exiting{}, keys, options) },
		"a writer":    func() { Encode(sinks, strings.NewReader("text"), keys, options) },
		"a source":    func() { Open(append([]Source{exiting{}}, sources...), keys, nil, 1) },
		"verifying":   func() { Verify(append([]Source{exiting{}}, sources...), nil) },
		"a copy":      func() { reader.WriteTo(exiting{}) },
		"who is told": func() { Encode(twelve(), strings.NewReader("text"), told, options) },
	} {
		if !exits(run) {
			t.Error(name, "went on")
		}
	}
	// The reader was left as a call leaves it that returned: it is not in use.
	if plain, err := io.ReadAll(reader); err != nil || string(plain) != "text" {
		t.Fatal(string(plain), err)
	}
	writer := NewWriter(sinks, keys, options)
	writer.Write([]byte("text"))
	if err := writer.Close(); err != errCutOff {
		t.Fatal(err)
	}
}

func TestNoMemoryIsTakenForALengthThatSomebodyForged(t *testing.T) {
	shards := [][]byte{make([]byte, 70), nil, make([]byte, 30)}
	if room(1<<62, shards) != 100 || room(7, shards) != 7 {
		t.Fatal(room(1<<62, shards), room(7, shards))
	}
	pipeline := NewCESPipelineWithKey(3, [32]byte{7})
	defer pipeline.Close()
	// What compresses is longer than its shards.
	data := make([]byte, 5_000_000)
	made, err := pipeline.Process(data)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := pipeline.Reconstruct(made, nil); err != nil || !bytes.Equal(plain, data) {
		t.Fatal(err)
	}
}
