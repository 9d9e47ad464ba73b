package ces

import (
	"bytes"
	"os"
	"testing"
)

// More than 31 bits can count, which the older wrapper could not.
func TestMoreThanTwoGibibytesComeBack(t *testing.T) {
	if os.Getenv("PROPELLER_TEST_LARGE") == "" {
		t.Skip("it takes 9 GiB of memory: `cargo xtask soak` runs it, by PROPELLER_TEST_LARGE")
	}
	data := bytes.Repeat(random(t, 1<<20), 2100)
	pipeline := NewCESPipelineWithKey(0, [32]byte{7})
	defer pipeline.Close()
	shards, err := pipeline.Process(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pipeline.Reconstruct(shards[2:], nil)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
}
