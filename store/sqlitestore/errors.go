package sqlitestore

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/coatcheck/coatcheck/store"
)

// explain turns what SQLite says into what there is to do.
func (s *Store) explain(name string, err error) error {
	return explain(name, s.path, err)
}

func explain(name, path string, err error) error {
	var advice string
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL:
		advice = fmt.Sprintf("the disk or the quota that holds %s is full; free some space, and the store goes on without a restart", path)
		if name == "create" {
			return fmt.Errorf("sqlitestore: %s: %w: %s: %w", name, store.ErrFull, advice, err)
		}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		advice = fmt.Sprintf("%s cannot be written; give this process the right to write to it and to its directory, and check that the disk is not mounted read-only", path)
	case sqlite3.SQLITE_CANTOPEN:
		advice = fmt.Sprintf("%s, or a file beside it, cannot be opened; give this process the right to read and write it and to make files in its directory", path)
	case sqlite3.SQLITE_NOTADB:
		advice = fmt.Sprintf("%s is not a SQLite database; name another file, or restore this one from a backup", path)
	case sqlite3.SQLITE_CORRUPT:
		advice = fmt.Sprintf("%s is damaged; stop the program and restore the file from a backup, or save what can be saved with: sqlite3 FILE .recover", path)
	case sqlite3.SQLITE_IOERR:
		advice = fmt.Sprintf("the disk that holds %s fails to read or write; look at the system's log, and check that it is a local disk", path)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		advice = fmt.Sprintf("another program is writing to %s; end it, since only one may", path)
	default:
		return fmt.Errorf("sqlitestore: %s: %s: %w", name, path, err)
	}
	return fmt.Errorf("sqlitestore: %s: %s: %w", name, advice, err)
}

// resultCode returns SQLite's primary result code, or 0.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
