package ces

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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

// older reads a vector of the older implementation's shards.
func older(t *testing.T, name string) (fields map[string]string, key [32]byte, shards []ShardData, present []bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "vectors", "ces-v0", name))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\n\n")
	fields = map[string]string{}
	for _, line := range strings.Split(head, "\n") {
		field, value, _ := strings.Cut(line, ": ")
		fields[field] = value
	}
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
	if _, err := hex.Decode(key[:], []byte(fields["key"])); err != nil {
		t.Fatal(err)
	}
	return fields, key, shards, present
}

func TestShardsOfTheOlderImplementationAreRead(t *testing.T) {
	for _, name := range []string{"ok-zstd.txt", "ok-four-lost.txt", "ok-four-damaged.txt", "ok-parity-left-out.txt", "ok-empty.txt"} {
		fields, key, shards, present := older(t, name)
		pipeline := NewCESPipelineWithKey(3, key)
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

func TestOneOfOursAmongTheOlderImplementationsIsAMissingOne(t *testing.T) {
	fields, key, shards, _ := older(t, "ok-zstd.txt")
	pipeline := NewCESPipelineWithKey(3, key)
	defer pipeline.Close()
	ours, err := pipeline.Process([]byte("another object"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 5; i++ {
		plain, err := pipeline.Reconstruct(shards, nil)
		sum := sha256.Sum256(plain)
		if err != nil || hex.EncodeToString(sum[:]) != fields["plain-sha256"] {
			t.Fatal(i, err)
		}
		shards[2*i] = ours[i]
	}
	if _, err := pipeline.Reconstruct(shards, nil); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Fatal(err)
	}
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
