package pgstore

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/coatcheck/coatcheck/store"
)

// ErrFull says that nothing happened. A server that goes down because its disk
// is full may have committed before.
func TestOnlyARolledBackCreateIsFull(t *testing.T) {
	for severity, want := range map[string]bool{"ERROR": true, "FATAL": false, "PANIC": false, "": false} {
		err := explain("create", &pgconn.PgError{Severity: "in some language", SeverityUnlocalized: severity, Code: diskFull})
		if errors.Is(err, store.ErrFull) != want {
			t.Errorf("severity %q: %v is ErrFull: %v", severity, err, !want)
		}
	}
}
