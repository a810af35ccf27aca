package pgstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store/pgstore"
)

// Sessions in the database that DATABASE_URL names, as
// postgres://app:PASSWORD@db.example/app?pool_max_conns=20 does. A manager gets
// the store by coatcheck.Config{Store: sessionStore}.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	sessionStore, err := pgstore.Open(ctx, os.Getenv("DATABASE_URL"), nil)
	if err != nil {
		log.Fatal(err) // says what to do
	}
	defer sessionStore.Close()

	signedIn, err := sessionStore.List(ctx, "alice", time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("alice is signed in %d times\n", len(signedIn))
}

// What an administrator runs for a program whose role may not create tables.
func ExampleSchema() {
	fmt.Println(pgstore.Schema("coatcheck"))
	fmt.Println(`GRANT USAGE ON SCHEMA coatcheck TO app;
GRANT SELECT ON coatcheck.version TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON coatcheck.sessions, coatcheck.marks TO app;`)
}

// The example works.
func TestExample(t *testing.T) {
	t.Setenv("DATABASE_URL", startServer(t).dsn(owner))
	Example()
}
