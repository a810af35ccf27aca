package sqlitestore

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// checkpointEvery is how often the log is copied into the database while
	// there are writes.
	checkpointEvery = 100 * time.Millisecond
	// logLimit is the length of the log, in pages of 4 KiB, at which writers
	// are held up for the moment it takes to begin it anew.
	logLimit = 4 << 10
	// readersWait is for how long, in milliseconds, that waits for readers.
	readersWait = 100
	// busyPause is how long it is not tried again when a reader, such as a
	// backup, is in the way.
	busyPause = time.Second
)

// The checkpointer copies the log into the database from a connection of its
// own. If the writer did that, as SQLite does when left alone, one write in a
// thousand would wait for it.
type checkpointer struct {
	store   *Store
	sql     *statements
	written chan struct{}
	stop    chan struct{}
	stopped sync.WaitGroup
}

func (c *checkpointer) open(s *Store) (err error) {
	c.store = s
	c.written = make(chan struct{}, 1)
	c.stop = make(chan struct{})
	c.stopped.Add(1)
	// The log may be begun anew once the database has been synced: on macOS
	// that needs the setting, and on this connection.
	c.sql, err = connect(context.Background(), s.path,
		pragma("busy_timeout", readersWait), pragma("checkpoint_fullfsync", 1))
	return err
}

// wake says that something has been written.
func (c *checkpointer) wake() {
	select {
	case c.written <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run() {
	defer c.stopped.Done()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-pause.C:
		}
		select {
		case <-c.stop:
			return
		case <-c.written:
		}
		pause.Reset(c.checkpoint())
	}
}

// checkpoint copies what it can without holding anybody up, and begins the log
// anew when that is too long. What fails is tried again: nothing is lost by a
// log that stays. It returns how long to pause.
func (c *checkpointer) checkpoint() time.Duration {
	pages, err := c.pragma("PASSIVE")
	if err != nil {
		return busyPause
	}
	if pages < logLimit {
		return checkpointEvery
	}
	c.store.writer.log.Lock()
	defer c.store.writer.log.Unlock()
	if _, err := c.pragma("RESTART"); err != nil {
		return busyPause
	}
	return checkpointEvery
}

var errReadersInTheWay = errors.New("readers in the way of a checkpoint")

// pragma runs a checkpoint and returns the length of the log in pages.
func (c *checkpointer) pragma(mode string) (pages int, err error) {
	var busy, copied int
	err = c.sql.row("PRAGMA wal_checkpoint("+mode+")", nil, &busy, &pages, &copied)
	if err == nil && busy != 0 {
		err = errReadersInTheWay
	}
	return pages, err
}

func (c *checkpointer) close() error {
	close(c.stop)
	c.stopped.Wait()
	return c.sql.close()
}
