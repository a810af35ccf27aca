// Package sqlitestore keeps sessions in one SQLite file, without cgo and
// without a server. It is the store to begin with on one machine:
//
//	sessionStore, err := sqlitestore.Open(ctx, "sessions.db", nil)
//	...
//	defer sessionStore.Close()
//	sessions, err := coatcheck.New(coatcheck.Config{Store: sessionStore})
//
// [Open] takes the file for this process. [Attach] is for tools: it takes the
// file if nobody holds it, and else speaks to the process that does, as [Dial]
// always does.
//
// # Promises
//
// When a write has returned, it has been synced to the disk: it survives the
// end of the process and of the machine. Only touches may be lost, those of
// the last second: they are gathered in memory and written with the next
// transaction, by Sweep and by Close.
//
// Everything is linearizable. One process holds the file, and its cache of
// recently used records is exact: a record leaves it before the transaction
// that changes the record commits, and returns after. So Load makes no
// difference between cached and fresh reads, and a handle got by Dial sees
// what the owner sees.
//
// Writes that wait are gathered into one transaction per sync. Each is judged
// inside that transaction after those before it, and one that fails, fails
// alone. A full disk is an error of each write that meets it, with
// [store.ErrFull] for Create, and passes when space returns; reads go on.
//
// # Files
//
// For sessions.db, all readable by their owner alone:
//
//	sessions.db       the database
//	sessions.db-wal   what has not been copied into it yet: part of it
//	sessions.db-shm   the index of that; rebuilt when missing
//	sessions.db.lock  locked by the process that holds the store, with its pid
//	sessions.db.sock  where that process answers Dial
//
// They must lie on a disk of the machine, not on a network file system, and
// only this package may write to them: the owner's cache would not notice
// another hand. Subjects, times, and whatever the manager puts in a record's
// head are in clear.
//
// # Backup
//
// Never copy the files of a running store. SQLite's own online backup takes a
// consistent copy while the store works, and the copy is a store:
//
//	sqlite3 sessions.db ".backup copy.db"
//
// # Time
//
// The store acts on the times it is given, and adds nothing to marks (see
// [store.ExactMarks]): all who use the file are on one machine and go by its
// clock. Open alone looks at that clock: it refuses a file whose newest session
// was created more than a day in the future, because with such a clock no
// session would ever end.
package sqlitestore
