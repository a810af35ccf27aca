package memstore

import "sync"

// briefLock is a sync.RWMutex for what is mostly held for a microsecond or less.
// Who finds it taken tries for a little longer than that before going to sleep:
// to be woken can take a tick of the kernel, four milliseconds, if the processor
// has found other work; and while a writer sleeps, readers may not enter. A
// look-up in ten thousand waited so long while a sweep removed records.
//
// Held for longer, so that others do go to sleep, is what scans a chunk, adds or
// merges chunks, or makes an index grow; and longest by far what DeleteAll does.
type briefLock struct{ mu sync.RWMutex }

// tries take longer than a row takes to remove: measured were 1.2 µs for RLock
// while another writes, 4.5 µs for Lock then, and 14 µs for Lock while others
// read.
const tries = 2000

// Lock locks for writing.
func (l *briefLock) Lock() {
	for range tries {
		if l.mu.TryLock() {
			return
		}
	}
	l.mu.Lock()
}

// Unlock undoes Lock.
func (l *briefLock) Unlock() { l.mu.Unlock() }

// RLock locks for reading.
func (l *briefLock) RLock() {
	for range tries {
		if l.mu.TryRLock() {
			return
		}
	}
	l.mu.RLock()
}

// RUnlock undoes RLock.
func (l *briefLock) RUnlock() { l.mu.RUnlock() }
