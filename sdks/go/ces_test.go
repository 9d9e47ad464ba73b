package ces

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func random(t *testing.T, length int) []byte {
	t.Helper()
	data := make([]byte, length)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data
}

func all(shards []ShardData) []bool {
	present := make([]bool, len(shards))
	for i := range present {
		present[i] = true
	}
	return present
}

// The seed's example, word for word but for the assertions.
func TestTheSameKeyReconstructs(t *testing.T) {
	compressionLevel := 3
	var key [32]byte
	_, err := rand.Read(key[:])
	if err != nil {
		panic(err)
	}
	testData := random(t, 3<<20+17)

	pipeline1 := NewCESPipelineWithKey(compressionLevel, key)
	shards, err := pipeline1.Process(testData)
	pipeline1.Close()
	if err != nil {
		t.Fatal(err)
	}
	present := all(shards)

	pipeline2 := NewCESPipelineWithKey(3, key)
	reconstructed, err := pipeline2.Reconstruct(shards, present)
	pipeline2.Close()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(testData, reconstructed) {
		panic("Key management failed: data mismatch")
	}
}

func TestFourShardsMayBeLostOrDamaged(t *testing.T) {
	pipeline := NewCESPipelineWithKey(0, [32]byte{7})
	defer pipeline.Close()
	for _, length := range []int{0, 1, 100_000} {
		data := random(t, length)
		shards, err := pipeline.Process(data)
		if err != nil || len(shards) != 12 {
			t.Fatal(len(shards), err)
		}
		present := all(shards)
		present[0], present[11] = false, false
		shards[0].Data = nil
		shards[3].Data[len(shards[3].Data)/2] ^= 1
		shards[5].Data = shards[5].Data[:10]
		got, err := pipeline.Reconstruct(shards, present)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatal(length, err)
		}
		// In any order, and of any number from 8 up.
		few := []ShardData{shards[10], shards[1], shards[9], shards[2], shards[8], shards[4], shards[7], shards[6]}
		got, err = pipeline.Reconstruct(few, nil)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatal(length, err)
		}
		_, err = pipeline.Reconstruct(few[1:], nil)
		var failure *Error
		if !errors.As(err, &failure) || failure.Status != StatusLost || !strings.Contains(err.Error(), "shard 10 is missing") {
			t.Fatal(err)
		}
	}
}

func TestAPipelineWithoutAKeyIsNilAndTheReasonIsThere(t *testing.T) {
	t.Setenv("CES_ENCRYPTION_KEY", "")
	if NewCESPipeline(3) != nil {
		t.Fatal("a key was made up")
	}
	_, err := NewCESPipelineFromEnvironment(3)
	if err == nil || !strings.Contains(err.Error(), "there is no key in CES_ENCRYPTION_KEY") {
		t.Fatal(err)
	}
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != StatusKey {
		t.Fatal(err)
	}
	t.Setenv("CES_ENCRYPTION_KEY", "not-to-be-shown")
	if _, err = NewCESPipelineFromEnvironment(3); err == nil || strings.Contains(err.Error(), "not-to-be-shown") {
		t.Fatal(err)
	}
	// What nil is asked is an error, and no crash.
	if _, err := NewCESPipeline(3).Process([]byte("x")); err == nil {
		t.Fatal("it worked")
	}
	if _, err := NewCESPipeline(3).Reconstruct(nil, nil); err == nil {
		t.Fatal("it worked")
	}
	NewCESPipeline(3).Close()

	key := random(t, 32)
	t.Setenv("CES_ENCRYPTION_KEY", hex.EncodeToString(key))
	one := NewCESPipeline(3)
	defer one.Close()
	shards, err := one.Process([]byte("of the environment"))
	if err != nil {
		t.Fatal(err)
	}
	other := NewCESPipelineWithKey(3, *(*[32]byte)(key))
	defer other.Close()
	if got, err := other.Reconstruct(shards, all(shards)); err != nil || string(got) != "of the environment" {
		t.Fatal(err)
	}
}

func TestLevelsAreKept(t *testing.T) {
	text := bytes.Repeat([]byte("a line of a log, all is well\n"), 10_000)
	length := func(level int) int {
		pipeline := NewCESPipelineWithKey(level, [32]byte{7})
		defer pipeline.Close()
		shards, err := pipeline.Process(text)
		if err != nil {
			t.Fatal(err)
		}
		return len(shards[0].Data)
	}
	if length(0) < 10*length(3) {
		t.Fatal(length(0), length(3))
	}
	for _, level := range []int{-1, 23, 1 << 32, 1<<32 + 3} {
		if NewCESPipelineWithKey(level, [32]byte{7}) != nil {
			t.Fatal(level)
		}
		if _, err := OpenCESPipeline(level, [32]byte{7}); err == nil {
			t.Fatal(level)
		}
	}
}

func TestAClosedPipelineSaysSo(t *testing.T) {
	pipeline, err := NewCESPipelineEphemeral(3)
	if err != nil {
		t.Fatal(err)
	}
	pipeline.Close()
	pipeline.Close()
	if _, err := pipeline.Process([]byte("x")); err == nil {
		t.Fatal("it worked")
	}
	if _, err := pipeline.Reconstruct([]ShardData{{}}, []bool{true, false}); err == nil {
		t.Fatal("it worked")
	}
}

func TestGoroutinesShareAPipeline(t *testing.T) {
	pipeline := NewCESPipelineWithKey(1, [32]byte{7})
	defer pipeline.Close()
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		data := random(t, 50_000+i)
		group.Add(1)
		go func() {
			defer group.Done()
			shards, err := pipeline.Process(data)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := pipeline.Reconstruct(shards[4:], nil)
			if err != nil || !bytes.Equal(got, data) {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

// The recipe of the seed, with golang.org/x/crypto/hkdf written out: one block of output.
func TestKeysOfTenantsAreThoseOfTheRecipe(t *testing.T) {
	master := random(t, 48)
	for _, tenant := range []string{"acme", "zürich", "a\x00b"} {
		extract := hmac.New(sha256.New, []byte("wgt-ces-v1"))
		extract.Write(master)
		expand := hmac.New(sha256.New, extract.Sum(nil))
		expand.Write([]byte("ces-pipeline-" + tenant + "\x01"))
		key, err := TenantKey(master, tenant)
		if err != nil || !bytes.Equal(key[:], expand.Sum(nil)) {
			t.Fatal(tenant, err)
		}
	}
	if _, err := TenantKey(master[:31], "acme"); err == nil {
		t.Fatal("a short secret was taken")
	}
	if _, err := TenantKey(master, ""); err == nil {
		t.Fatal("a tenant without a name was taken")
	}
	if id := KeyID([32]byte{1}); len(id) != 16 || id == KeyID([32]byte{2}) {
		t.Fatal(id)
	}
}

func TestShardsOfTheOlderImplementationAreRead(t *testing.T) {
	for _, name := range []string{"ok-zstd.txt", "ok-four-lost.txt", "ok-four-damaged.txt", "ok-parity-left-out.txt", "ok-empty.txt"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "vectors", "ces-v0", name))
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(text), "\n\n")
		fields := map[string]string{}
		for _, line := range strings.Split(head, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			fields[field] = value
		}
		var shards []ShardData
		var present []bool
		for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
			switch {
			case strings.HasSuffix(line, ": missing"):
				shards, present = append(shards, ShardData{}), append(present, false)
			case strings.HasPrefix(line, "shard "):
				shards, present = append(shards, ShardData{}), append(present, true)
			default:
				row, err := hex.DecodeString(line)
				if err != nil {
					t.Fatal(err)
				}
				last := &shards[len(shards)-1]
				last.Data = append(last.Data, row...)
			}
		}
		key, _ := hex.DecodeString(fields["key"])
		pipeline := NewCESPipelineWithKey(3, *(*[32]byte)(key))
		defer pipeline.Close()
		plain, err := pipeline.Reconstruct(shards, present)
		if err != nil {
			t.Fatal(name, err)
		}
		sum := sha256.Sum256(plain)
		if hex.EncodeToString(sum[:]) != fields["plain-sha256"] {
			t.Fatal(name)
		}
	}
}

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

func ExampleCESPipeline() {
	key, err := RandomKey()
	if err != nil {
		panic(err)
	}
	pipeline, err := OpenCESPipeline(3, key)
	if err != nil {
		panic(err)
	}
	defer pipeline.Close()
	shards, err := pipeline.Process([]byte("hello"))
	if err != nil {
		panic(err)
	}
	plain, err := pipeline.Reconstruct(shards[4:], nil)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(plain)
	// Output: hello
}
