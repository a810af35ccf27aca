package main

import (
	"os"
	"strings"
	"testing"
)

// What the results name is what go.mod pins.
func TestPeersArePinned(t *testing.T) {
	content, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range peers {
		if !strings.Contains(string(content), "\t"+path+" v") {
			t.Errorf("go.mod does not require %s", path)
		}
	}
}
