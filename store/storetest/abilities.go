package storetest

import "github.com/coatcheck/coatcheck/store"

// Opaque returns a store that does what inner does and hides that inner keeps
// its records in this process, so that a manager seals what it gives to it.
func Opaque(inner store.Store) store.Store {
	watcher, _ := inner.(store.Watcher)
	settler, _ := inner.(store.Settler)
	return equip(plain{inner, exactMarks(inner)}, watcher, settler, false)
}

// withAbilities returns outer with the optional abilities of inner.
func withAbilities(outer, inner store.Store) store.Store {
	watcher, _ := inner.(store.Watcher)
	settler, _ := inner.(store.Settler)
	_, inside := inner.(store.InProcess)
	return equip(plain{outer, exactMarks(inner)}, watcher, settler, inside)
}

// plain has the methods of a store and no ability besides, but that it repeats
// what the store says of its marks.
type plain struct {
	store.Store
	exactMarks bool
}

// ExactMarks implements [store.ExactMarks].
func (p plain) ExactMarks() bool { return p.exactMarks }

func exactMarks(s store.Store) bool {
	says, ok := s.(store.ExactMarks)
	return ok && says.ExactMarks()
}

// inProcess makes the statement of store.InProcess.
type inProcess struct{}

func (inProcess) InProcess() {}

// equip returns p with exactly the abilities given. Abilities are found by
// assertion, so each combination is a type of its own.
func equip(p plain, w store.Watcher, st store.Settler, inside bool) store.Store {
	switch [3]bool{w != nil, st != nil, inside} {
	case [3]bool{true, false, false}:
		return struct {
			plain
			store.Watcher
		}{p, w}
	case [3]bool{false, true, false}:
		return struct {
			plain
			store.Settler
		}{p, st}
	case [3]bool{false, false, true}:
		return struct {
			plain
			inProcess
		}{p, inProcess{}}
	case [3]bool{true, true, false}:
		return struct {
			plain
			store.Watcher
			store.Settler
		}{p, w, st}
	case [3]bool{true, false, true}:
		return struct {
			plain
			store.Watcher
			inProcess
		}{p, w, inProcess{}}
	case [3]bool{false, true, true}:
		return struct {
			plain
			store.Settler
			inProcess
		}{p, st, inProcess{}}
	case [3]bool{true, true, true}:
		return struct {
			plain
			store.Watcher
			store.Settler
			inProcess
		}{p, w, st, inProcess{}}
	}
	return p
}
