package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// open opens a store in a file that does not outlive the test.
func open(t *testing.T, path string, opts *sqlitestore.Options) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
	return s
}

func newFile(t *testing.T) string { return filepath.Join(t.TempDir(), "sessions.db") }

func TestKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		s := open(t, newFile(t), nil)
		return s, s
	})
}

// A handle got by Dial sees what the owner of the file sees, and a cache that
// keeps some records and is too small for others makes no difference.
func TestKeepsTheContractThroughTheSocket(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		path := newFile(t)
		return open(t, path, &sqlitestore.Options{CacheBytes: 32 << 10}), dial(t, path)
	})
}

// The kit holds a store to this only if it says so.
func TestBothHandlesSayThatMarksAreExact(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	for _, s := range []store.ExactMarks{open(t, path, nil), dial(t, path)} {
		if !s.ExactMarks() {
			t.Errorf("%T says that marks are not exact", s)
		}
	}
}

func dial(t *testing.T, path string) *sqlitestore.Client {
	t.Helper()
	c, err := sqlitestore.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
