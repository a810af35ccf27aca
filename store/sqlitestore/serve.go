package sqlitestore

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// answerTimeout is how long whoever asked may take to read the answer.
const answerTimeout = 5 * time.Second

// served are the processes that use the store through its socket.
type served struct {
	listener net.Listener
	running  sync.WaitGroup

	mu          sync.Mutex
	connections map[net.Conn]struct{}
	closed      bool
}

// listen makes the socket and answers on it. Whoever may connect to it may end
// everybody's session, so it belongs to its owner alone from its first moment:
// it is made in a directory of its own and then moved into its place, where it
// replaces what a process that died has left.
func (s *Store) listen() (err error) {
	path := s.path + socketSuffix
	defer func() {
		if err != nil {
			err = fmt.Errorf("sqlitestore: %s cannot be made; if the file system cannot hold a socket, set Options.NoSocket: %w", path, err)
		}
	}()
	_, used, err := socketName(path) // for those who will dial
	if err != nil {
		return err
	}
	used()
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sock-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	name, used, err := socketName(made)
	if err != nil {
		return err
	}
	defer used()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false) // by a name that is gone then
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.served.listener = listener
	s.served.connections = make(map[net.Conn]struct{})
	s.served.running.Go(s.accept)
	return nil
}

// stopServing answers what has been asked, and no more.
func (s *Store) stopServing() {
	if s.served.listener == nil {
		return
	}
	s.served.mu.Lock()
	first := !s.served.closed
	s.served.closed = true
	for conn := range s.served.connections {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	}
	s.served.mu.Unlock()
	if first {
		_ = os.Remove(s.path + socketSuffix)
		_ = s.served.listener.Close()
	}
	s.served.running.Wait()
}

func (s *Store) accept() {
	for {
		conn, err := s.served.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second / 10) // out of file descriptors, most likely
			continue
		}
		s.served.mu.Lock()
		if s.served.closed {
			conn.Close()
		} else {
			s.served.connections[conn] = struct{}{}
			s.served.running.Go(func() { s.converse(conn) })
		}
		s.served.mu.Unlock()
	}
}

// converse answers the requests of one connection until it ends.
func (s *Store) converse(conn net.Conn) {
	defer func() {
		s.served.mu.Lock()
		delete(s.served.connections, conn)
		s.served.mu.Unlock()
		conn.Close()
	}()
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	for {
		var asked request
		if err := in.Decode(&asked); err != nil {
			return
		}
		a := s.answer(&asked)
		// Close waits for this, and must not for someone who never reads.
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		if err := out.Encode(a); err != nil {
			return
		}
	}
}

// answer does what is asked. It does not end with the connection: who asked
// has been told then that the outcome is unknown.
func (s *Store) answer(asked *request) *answer {
	var (
		ctx = context.Background()
		a   answer
		err error
	)
	if asked.Protocol != protocol {
		a.setError(fmt.Errorf("sqlitestore: the process that holds %s speaks version %d of its protocol and was asked in version %d; use the same release of both programs", s.path, protocol, asked.Protocol))
		return &a
	}
	switch asked.Operation {
	case opHello:
	case opLoad:
		var rec store.Record
		if err = s.Load(ctx, asked.ID, &rec, store.Fresh); err == nil {
			a.Records = []store.Record{rec}
		}
	case opCreate:
		a.IDs, err = s.Create(ctx, asked.Record, asked.Terms, asked.Now)
	case opUpdate:
		err = s.Update(ctx, asked.Record, asked.Was, asked.Now)
	case opTouch:
		err = s.Touch(ctx, asked.ID, asked.Now)
	case opDelete:
		a.IDs, err = s.Delete(ctx, asked.IDs...)
	case opDeleteSubject:
		a.IDs, err = s.DeleteSubject(ctx, asked.Subject, asked.Now, asked.IDs...)
	case opDeleteAll:
		a.N, err = s.DeleteAll(ctx, asked.Now)
	case opList:
		a.Records, err = s.List(ctx, asked.Subject, asked.Now)
	case opPage:
		a.Records, err = s.page(ctx, asked.After)
	case opSweep:
		a.N, a.More, err = s.Sweep(ctx, asked.Now, asked.Limit)
	default:
		err = fmt.Errorf("sqlitestore: the process that holds %s does not know operation %d; restart it with the same release", s.path, asked.Operation)
	}
	a.setError(err)
	return &a
}

// nobodyThere reports whether a socket could not be reached because nobody
// listens on it.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, connectionRefused)
}
