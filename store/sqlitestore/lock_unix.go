//go:build unix

package sqlitestore

import (
	"errors"
	"os"
	"syscall"
)

// tryLock opens and locks a file, or returns nil if it is locked.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "flock", Path: path, Err: err}
}

// connectionRefused is what the system says when nobody listens on a socket.
const connectionRefused = syscall.ECONNREFUSED
