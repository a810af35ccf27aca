//go:build !unix

package sqlitestore_test

import (
	"errors"
	"os"
	"testing"
)

// needsUnix skips a test of the rights and limits that Unix alone has.
func needsUnix(t *testing.T) {
	t.Helper()
	const reason = "this system has not the rights and limits of Unix"
	if os.Getenv("COATCHECK_REQUIRE_ALL") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func giveUpRoot() error                          { return errors.ErrUnsupported }
func limitFiles() (lift func() error, err error) { return nil, errors.ErrUnsupported }
