package sqlitestore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// A site opens its store and gives it to the manager, as Config.Store. A tool
// attaches to the same file while the site runs.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sessions.db")
	ctx := context.Background()

	site, err := sqlitestore.Open(ctx, path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()

	// What the manager does when somebody signs in.
	now := time.Now()
	record := store.Record{
		ID: store.ID{15: 1}, Version: 1, Subject: "alice",
		Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(12 * time.Hour),
	}
	if _, err := site.Create(ctx, record, store.Terms{Began: now}, now); err != nil {
		log.Fatal(err)
	}

	tool, err := sqlitestore.Attach(ctx, path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tool.Close()
	ended, err := tool.DeleteSubject(ctx, "alice", now)
	fmt.Println(ended, err)
	// Output: [00000000000000000000000000000001] <nil>
}
