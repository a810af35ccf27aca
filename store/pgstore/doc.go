// Package pgstore keeps sessions in PostgreSQL (tested with 15): for several
// machines that share them, and where a database is run and backed up already.
//
//	sessionStore, err := pgstore.Open(ctx, "postgres://app@db.example/app", nil)
//	...
//	defer sessionStore.Close()
//	sessions, err := coatcheck.New(coatcheck.Config{Store: sessionStore})
//
// [Open] takes a connection string, [New] a pool that is there already. Both
// create the tables and migrate them; [Schema] is for administrators who would
// rather do so themselves, and says which rights the program then needs.
//
// # Promises
//
// Everything is linearizable per id and per subject, through any number of
// stores on the same schema. Each operation is one transaction and, once its
// connection knows the statement, one round trip; only an Update that is
// refused takes a second, to say why, and All one per 256 records. There is no
// cache: a Load reads one row by its key, makes no difference between cached
// and fresh reads, and what is ended on one machine is ended on all.
//
// When a write has returned, it survives what the server's own commits survive:
// the end of its process and of its machine, and of the machine's disk if a
// synchronous standby has it. Only touches may be lost, those of the last
// second (three times wal_writer_delay), for their commits do not wait for the
// disk. After a failover to an asynchronous standby the last moments are
// missing: sessions that were ended in these may live again.
//
// Limits and marks are exact. A Create or DeleteSubject has the subject to
// itself, by an advisory lock, which costs no write and leaves nothing to clean
// up as a row to lock would; and a Create locks the subject's rows only when it
// must end some. DeleteAll waits for each Create that has begun, and each that
// begins later waits for it.
//
// What may pass, a connection refused, a server that is starting, a deadlock,
// is tried again for up to two seconds where nothing can have happened, or where
// doing it twice is like doing it once (reads and touches). When a connection
// breaks under any other write, its outcome is unknown, and the error says so
// by having no name of the contract. So does that of a write whose context has
// ended: the server may have carried it out without its standby.
//
// # Schema
//
//	coatcheck.sessions  one row per session           coatcheck.marks    coatcheck.version
//	  id        uuid, key                               subject bytea      version integer
//	  version   bigint  drawn for each write            at      bigint
//	  created   bigint  microseconds since 1970
//	  last_seen bigint  the only thing a touch changes
//	  idle      bigint  microseconds
//	  absolute  bigint
//	  due       bigint  never later than the deadline; indexed
//	  retired   boolean
//	  subject   bytea   indexed where there is one and the session is not retired
//	  head      bytea   opaque
//	  data      bytea   opaque, sealed by the manager
//
// A session's deadline moves with every touch, and no index holds it, so that a
// touch is a HOT update: a new row in the same page and nothing else. Sweep
// looks at what is due. If that has been touched meanwhile, it is due anew at
// its deadline: one index entry per idle time instead of one per touch. Sweep
// passes over rows that a request holds, and holds its own for one statement of
// at most 1000 rows.
//
// A session is found by hand by its id as it stands in lists and logs:
//
//	SELECT * FROM coatcheck.sessions WHERE id = '0123456789abcdef0123456789abcdef'
//
// Subjects, times, and whatever the manager puts in a record's head are in
// clear.
//
// # Time
//
// The store acts on the times it is given, never on the server's clock. Open
// alone looks at that: it refuses to begin when the two clocks are more than a
// day apart, because with such a clock sessions would not end when they should.
package pgstore
