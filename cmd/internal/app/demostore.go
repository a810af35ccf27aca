package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/stores"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// openFor opens the store that was named, or the demo's own file if none was,
// and says in a sentence where sessions are kept.
func openFor(ctx context.Context, name string) (kept stores.Opened, where string, err error) {
	switch name {
	case "":
		return openOwnFile(ctx)
	case "memory:":
		where = "Sessions are kept in memory and end with this program."
	default:
		where = "Sessions are kept in the store that you named."
	}
	kept, err = stores.Open(ctx, name)
	return kept, where, err
}

// openOwnFile opens the file that outlives the program, so that a restart signs
// nobody out. A second demo beside the first, or a machine without a place for
// the file, has its sessions in memory.
func openOwnFile(ctx context.Context) (stores.Opened, string, error) {
	file, err := ownFile()
	if err != nil {
		return inMemory(ctx, "There is no place for a file")
	}
	// A demo that is just closing lets go of the file within this time.
	kept, err := sqlitestore.Open(ctx, file, &sqlitestore.Options{LockWait: 2 * time.Second})
	switch {
	case errors.Is(err, sqlitestore.ErrHeld):
		return inMemory(ctx, "Another demo is open and holds the file")
	case err != nil:
		return nil, "", fmt.Errorf("open the demo's own file: %w; with --store memory: it needs none", err)
	}
	return kept, "Sessions outlive this program, in " + file + "\n(the goods, the money and changed passwords do not). To look at them meanwhile:\n\n    coatcheck sessions list --store " + shown("sqlite:"+file) + "\n", nil
}

// shown is an argument as it is written on a command line.
func shown(argument string) string {
	if strings.ContainsAny(argument, " '()&;") {
		return `"` + argument + `"`
	}
	return argument
}

func inMemory(ctx context.Context, why string) (stores.Opened, string, error) {
	kept, err := stores.Open(ctx, "memory:")
	return kept, why + ", so sessions are kept in memory and end with this program.", err
}

func ownFile() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "coatcheck")
	return filepath.Join(dir, "demo.db"), os.MkdirAll(dir, 0o700)
}
