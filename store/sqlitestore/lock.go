package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// ErrHeld is wrapped by Open's error when another process holds the file.
var ErrHeld = errors.New("sqlitestore: another process holds the file")

const (
	lockSuffix = ".lock"
	lockPause  = 20 * time.Millisecond // between attempts
)

// lockFile is locked from acquire to release or the end of the process. It
// stays where it is: to remove it would let two processes lock two files of
// one name.
type lockFile struct{ file *os.File }

// acquire locks the file at path, waiting for who has it.
func acquire(ctx context.Context, path string, wait time.Duration) (*lockFile, error) {
	deadline := time.Now().Add(wait)
	for {
		file, err := tryLock(path)
		if err != nil {
			return nil, explainFile(path, err)
		}
		if file != nil {
			// For people to read; the lock is good without it.
			_ = file.Truncate(0)
			_, _ = fmt.Fprintln(file, os.Getpid())
			return &lockFile{file}, nil
		}
		if !time.Now().Before(deadline) {
			return nil, fmt.Errorf("%w: %s is locked by process %s; end it, wait for it, or reach the store through it with Dial", ErrHeld, path, holder(path))
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s is locked by process %s: %w", ErrHeld, path, holder(path), ctx.Err())
		}
	}
}

// holder returns the pid that the holder of a lock has left.
func holder(path string) string {
	pid, err := os.ReadFile(path)
	if err != nil || len(pid) == 0 {
		return "(unknown)"
	}
	return strings.TrimSpace(string(pid))
}

func (l *lockFile) release() error {
	if l == nil {
		return nil
	}
	_ = l.file.Truncate(0)
	return l.file.Close()
}
