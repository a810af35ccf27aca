package redisstore_test

import (
	"context"
	"log"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// A site opens its store and gives it to the manager, as Config.Store. Here it
// is a Cluster with one replica for each primary, which all must have a write
// before it is acknowledged.
func Example() {
	ctx := context.Background()
	address := "redis-cluster://coatcheck:secret@redis-1:6379,redis-2:6379,redis-3:6379?tls=true"
	site, err := redisstore.Open(ctx, address, &redisstore.Options{MinReplicas: 1})
	if err != nil {
		log.Fatal(err) // says what to do
	}
	defer site.Close()

	// What the manager does when somebody signs in.
	now := time.Now()
	id := store.ID{15: 1}
	place := store.PlacementOf("alice")
	copy(id[:], place[:])
	record := store.Record{
		ID: id, Version: 1, Subject: "alice",
		Created: now, LastSeen: now, Idle: time.Hour, Absolute: now.Add(12 * time.Hour),
	}
	if _, err := site.Create(ctx, record, store.Terms{Began: now}, now); err != nil {
		log.Fatal(err)
	}
}
