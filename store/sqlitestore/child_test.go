package sqlitestore_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

const (
	childVariable = "SQLITESTORE_TEST_CHILD" // the part that a child plays
	pathVariable  = "SQLITESTORE_TEST_PATH"  // the file it plays it with

	// giveUpRootVariable has the child become nobody before it begins.
	giveUpRootVariable = "SQLITESTORE_TEST_NOBODY"
)

// Some tests need another process: it is this binary again, with a part to
// play instead of tests to run.
func TestMain(m *testing.M) {
	part := os.Getenv(childVariable)
	if part == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(giveUpRootVariable) != "" {
		if err := giveUpRoot(); err != nil {
			panic(err)
		}
	}
	if err := children[part](os.Getenv(pathVariable)); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// children are the parts. What one prints is for the test to read.
var children = map[string]func(path string) error{
	"hold":      holdFile,
	"small log": smallLog,
	"write":     writeUntilKilled,
}

// newChild prepares a child; the test starts it.
func newChild(t *testing.T, part, path string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+part, pathVariable+"="+path)
	child.Stderr = os.Stderr
	return child
}

// holdFile holds the file until its input ends.
func holdFile(path string) error {
	s, err := sqlitestore.Open(context.Background(), path, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Close()
}
