package ces

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writers(buffers []bytes.Buffer) []io.Writer {
	writers := make([]io.Writer, len(buffers))
	for i := range buffers {
		writers[i] = &buffers[i]
	}
	return writers
}

func sources(buffers []bytes.Buffer) []Source {
	sources := make([]Source, len(buffers))
	for i := range buffers {
		sources[i] = bytes.NewReader(buffers[i].Bytes())
	}
	return sources
}

func small() Options {
	options := DefaultOptions()
	options.Data, options.Parity, options.SegmentSize = 3, 2, 65536
	return options
}

func TestStreamsOfFilesAreReadWholeAndInRanges(t *testing.T) {
	plain := random(t, 5*65536+1234)
	keys := Keys{Key: [32]byte{1, 2, 3}, Label: "production"}
	options := small()
	options.Cipher, options.Threads = AES256GCM, 2
	folder := t.TempDir()
	var files []io.Writer
	var opened []*os.File
	for i := 0; i < 5; i++ {
		file, err := os.Create(filepath.Join(folder, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files, opened = append(files, file), append(opened, file)
	}
	info, err := Encode(files, bytes.NewReader(plain), keys, options)
	if err != nil {
		t.Fatal(err)
	}
	if info.PlainLen != int64(len(plain)) || info.Label != "production" || info.KeyID != KeyID(keys.Key) || info.Segments != 6 {
		t.Fatal(info)
	}
	// In another order, and two are lost.
	shards := []Source{nil, nil}
	for i := 4; i > 1; i-- {
		shard, err := File(opened[i])
		if err != nil {
			t.Fatal(err)
		}
		shards = append(shards, shard)
	}
	reader, err := Open(shards, keys, &Wanted{Digest: &info.Digest, Label: "production"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if reader.Info() != info || reader.Size() != info.PlainLen {
		t.Fatal(reader.Info(), info)
	}
	var out bytes.Buffer
	if n, err := io.Copy(&out, reader); err != nil || n != info.PlainLen || !bytes.Equal(out.Bytes(), plain) {
		t.Fatal(n, err)
	}
	if damage := reader.Damage(); !strings.Contains(damage, "shard 0 is missing; shard 1 is missing") {
		t.Fatal(damage)
	}
	section := io.NewSectionReader(reader, 65530, 70000)
	if part, err := io.ReadAll(section); err != nil || !bytes.Equal(part, plain[65530:65530+70000]) {
		t.Fatal(len(part), err)
	}
	if at, err := reader.Seek(-10, io.SeekEnd); err != nil || at != info.PlainLen-10 {
		t.Fatal(at, err)
	}
	// Without WriteTo, as most readers read.
	if end, err := io.ReadAll(struct{ io.Reader }{reader}); err != nil || !bytes.Equal(end, plain[len(plain)-10:]) {
		t.Fatal(end, err)
	}
	buffer := make([]byte, 20)
	if n, err := reader.ReadAt(buffer, info.PlainLen-5); n != 5 || err != io.EOF {
		t.Fatal(n, err)
	}
	if n, err := reader.ReadAt(buffer, info.PlainLen); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	if _, err := reader.ReadAt(buffer, -1); err == nil {
		t.Fatal("it worked")
	}
	_, err = Open(shards, Keys{Key: [32]byte{9}}, nil, 1)
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != StatusKeyNotAtHand {
		t.Fatal(err)
	}
	if _, err = Open(shards, keys, &Wanted{Label: "test"}, 1); !errors.As(err, &failure) || failure.Status != StatusRefused {
		t.Fatal(err)
	}
}

func TestAWriterTakesPlaintextAsItComes(t *testing.T) {
	plain := random(t, 200_001)
	keys := Keys{Key: [32]byte{1}}
	buffers := make([]bytes.Buffer, 5)
	writer := NewWriter(writers(buffers), keys, small())
	for rest := plain; len(rest) > 0; {
		n := 777
		if n > len(rest) {
			n = len(rest)
		}
		if _, err := writer.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if writer.Info().PlainLen != int64(len(plain)) {
		t.Fatal(writer.Info())
	}
	reader, err := Open(sources(buffers)[2:], keys, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var out bytes.Buffer
	if _, err := reader.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), plain) {
		t.Fatal(err)
	}
	aborted := NewWriter(writers(make([]bytes.Buffer, 5)), keys, small())
	aborted.Write(plain)
	aborted.Abort()
	if err := aborted.Close(); err == nil {
		t.Fatal("an aborted object is whole")
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
func (b broken) Read([]byte) (int, error)  { return 0, b.err }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a reader of the caller's") }

func TestWhatReadersAndWritersSayIsTheCause(t *testing.T) {
	full := errors.New("the disk is full")
	sinks := writers(make([]bytes.Buffer, 5))
	sinks[3] = broken{full}
	_, err := Encode(sinks, strings.NewReader("x"), Keys{Key: [32]byte{1}}, small())
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "cannot write shard 3") {
		t.Fatal(err)
	}
	writer := NewWriter(sinks, Keys{Key: [32]byte{1}}, small())
	for i := 0; i < 100 && err == nil; i++ {
		_, err = writer.Write(make([]byte, 65536))
	}
	if !errors.Is(writer.Close(), full) {
		t.Fatal(err)
	}
	_, err = Encode(writers(make([]bytes.Buffer, 5)), broken{full}, Keys{Key: [32]byte{1}}, small())
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "cannot read the input") {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if thrown := recover(); thrown != "a reader of the caller's" {
				t.Fatal(thrown)
			}
		}()
		Encode(writers(make([]bytes.Buffer, 5)), panicking{}, Keys{Key: [32]byte{1}}, small())
		t.Fatal("it went on")
	}()
	if _, err := Encode(nil, strings.NewReader("x"), Keys{}, small()); err == nil {
		t.Fatal("it worked")
	}
	if _, err := Encode(nil, strings.NewReader("x"), Keys{}, Options{}); err == nil {
		t.Fatal("it worked")
	}
}

func TestShardsOfTwoObjectsAreRepairedForWhoKnowsTheDigest(t *testing.T) {
	keys := Keys{Key: [32]byte{1}}
	mine, others := make([]bytes.Buffer, 5), make([]bytes.Buffer, 5)
	info, err := Encode(writers(mine), strings.NewReader("a text"), keys, small())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(writers(others), strings.NewReader("another"), keys, small()); err != nil {
		t.Fatal(err)
	}
	both := append(sources(mine)[:3], sources(others)...)
	var rebuilt bytes.Buffer
	var refused *Error
	err = Repair(both, map[int]io.Writer{4: &rebuilt}, nil)
	if !errors.As(err, &refused) || refused.Status != StatusArgument || rebuilt.Len() != 0 {
		t.Fatal(err, rebuilt.Len())
	}
	err = Repair(both, map[int]io.Writer{4: &rebuilt}, &Wanted{Digest: &info.Digest})
	if err != nil || !bytes.Equal(rebuilt.Bytes(), mine[4].Bytes()) {
		t.Fatal(err)
	}
}

func TestShardsAreVerifiedRepairedAndRotated(t *testing.T) {
	old, young := Keys{Key: [32]byte{1}}, Keys{Key: [32]byte{2}}
	buffers := make([]bytes.Buffer, 5)
	info, err := Encode(writers(buffers), strings.NewReader("a text"), old, small())
	if err != nil {
		t.Fatal(err)
	}
	wanted := &Wanted{Digest: &info.Digest}
	report, err := Verify(sources(buffers), wanted)
	if err != nil || !report.Whole || report.Damage != "" || report.Digest != info.Digest || report.Agreeing != 0 {
		t.Fatal(report, err)
	}
	lost := append([]byte(nil), buffers[4].Bytes()...)
	buffers[4].Bytes()[150] ^= 1
	report, err = Verify(sources(buffers)[1:], nil)
	if err != nil || report.Whole || !report.Readable || report.Agreeing != 3 || !strings.Contains(report.Damage, "input 3 (shard 4)") {
		t.Fatal(report, err)
	}
	var rebuilt bytes.Buffer
	if err := Repair(sources(buffers), map[int]io.Writer{4: &rebuilt}, wanted); err != nil || !bytes.Equal(rebuilt.Bytes(), lost) {
		t.Fatal(err)
	}
	if err := Repair(sources(buffers), map[int]io.Writer{5: &rebuilt}, wanted); err == nil {
		t.Fatal("it worked")
	}
	for i := range buffers {
		header := buffers[i].Bytes()[:HeaderLen]
		if changed, err := Rotate(header, old, young); err != nil || !changed {
			t.Fatal(err)
		}
		if changed, err := Rotate(header, old, young); err != nil || changed {
			t.Fatal(err)
		}
	}
	if _, err := Open(sources(buffers), old, nil, 1); err == nil {
		t.Fatal("the old key opens it")
	}
	reader, err := Open(sources(buffers), Keys{Key: [32]byte{3}, Older: [][32]byte{{2}}}, wanted, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if plain, err := io.ReadAll(reader); err != nil || string(plain) != "a text" {
		t.Fatal(string(plain), err)
	}
}

func TestEveryUseOfAKeyIsTold(t *testing.T) {
	var told []string
	keys := Keys{Key: [32]byte{1}, Label: "test", Audit: func(event Event) {
		if event.KeyID != KeyID([32]byte{1}) || event.Label != "test" || len(event.Object) != 32 {
			t.Error(event)
		}
		told = append(told, event.Action)
	}}
	buffers := make([]bytes.Buffer, 5)
	writer := NewWriter(writers(buffers), keys, small())
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := Open(sources(buffers), keys, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	header := buffers[0].Bytes()[:HeaderLen]
	if _, err := Rotate(header, keys, Keys{Key: [32]byte{2}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(sources(buffers)[:1], keys, nil, 1); err == nil {
		t.Fatal("it worked")
	}
	if strings.Join(told, " ") != "wrapped unwrapped" {
		t.Fatal(told)
	}
	defer func() {
		if thrown := recover(); thrown != "no log" {
			t.Fatal(thrown)
		}
	}()
	keys.Audit = func(Event) { panic("no log") }
	Encode(writers(buffers), strings.NewReader("x"), keys, small())
	t.Fatal("it went on")
}
