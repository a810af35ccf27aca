package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// sqliteByHand groups creations into one transaction for each sync, and does
// nothing else: no limit, no marks, no check, one index. It is what
// sqlitestore's creations are measured against.
func sqliteByHand(path string) (backend, func(), error) {
	db, err := openSQLite(path)
	if err != nil {
		return backend{}, nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE sessions (id BLOB PRIMARY KEY, subject TEXT, created INTEGER, seen INTEGER, idle INTEGER, absolute INTEGER, head BLOB, data BLOB);
CREATE INDEX by_subject ON sessions(subject);`); err != nil {
		return backend{}, func() { db.Close() }, err
	}
	waiting := make(chan handCreate, 256)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := range waiting {
			group := []handCreate{first}
			for more := true; more && len(group) < 256; {
				select {
				case next, open := <-waiting:
					if more = open; open {
						group = append(group, next)
					}
				default:
					more = false
				}
			}
			err := insertGroup(db, group)
			for _, c := range group {
				c.answer <- err
			}
		}
	}()
	b := backend{name: "SQLite by hand", do: map[act]func(uint64) error{create: func(n uint64) error {
		c := handCreate{n, make(chan error, 1)}
		waiting <- c
		return <-c.answer
	}}}
	return b, func() { close(waiting); <-done; db.Close() }, nil
}

type handCreate struct {
	n      uint64
	answer chan error
}

func insertGroup(db *sql.DB, group []handCreate) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // of no effect after Commit
	insert, err := tx.Prepare(`INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	now := time.Now()
	for _, c := range group {
		id := idOf(c.n)
		if _, err := insert.Exec(id[:], fmt.Sprint("id:user-", c.n), now.UnixMicro(), now.UnixMicro(), (30 * time.Minute).Microseconds(),
			now.Add(12*time.Hour).UnixMicro(), dataSpace[:136], dataSpace[:264]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rueidisAlone sets and gets values of a session's size with the client of
// redisstore, without any script.
func rueidisAlone(address string) (backend, func(), error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}})
	if err != nil {
		return backend{}, nil, err
	}
	ctx := context.Background()
	value := rueidis.BinaryString(dataSpace[:480])
	key := func(n uint64) string { return "alone:" + scsToken(n) }
	set := func(n uint64) error {
		return client.Do(ctx, client.B().Set().Key(key(n)).Value(value).Build()).Error()
	}
	return backend{name: "rueidis alone", do: map[act]func(uint64) error{
		create:    set,
		update:    set,
		readFresh: func(n uint64) error { return client.Do(ctx, client.B().Get().Key(key(n)).Build()).Error() },
		readCopy: func(n uint64) error {
			return client.DoCache(ctx, client.B().Get().Key(key(n)).Cache(), time.Minute).Error()
		},
	}}, client.Close, nil
}
