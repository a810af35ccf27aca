package site

import (
	"encoding/binary"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// dutifulSite is a rung: the floor with duties. Its sessions lie in one table
// under one lock, as the floor's do: live values in a map until ownCopy is
// owed, bytes in a slice each from then on.
type dutifulSite struct {
	owes  duties
	other *http.CrossOriginProtection
	held  sync.Pool                 // of *held
	live  map[[32]byte]*liveSession // under the table's lock
	kept  [1024]atomic.Pointer[keptCipher]
	table
}

// liveSession is a session of the lowest rungs.
type liveSession struct {
	floorSession
	verifier verifier
}

// withDuties returns what builds a site with some duties.
func withDuties(owes duties) func(Payload) (Site, error) {
	return func(p Payload) (Site, error) { return &httpSite{handlers: newDutifulSite(owes).handlers(p)}, nil }
}

func newDutifulSite(owes duties) *dutifulSite {
	return &dutifulSite{
		owes: owes, other: http.NewCrossOriginProtection(),
		held:  sync.Pool{New: func() any { return new(held) }},
		live:  map[[32]byte]*liveSession{},
		table: table{byID: map[sessionID]uint32{}, bySubject: map[string]*members{}, rows: make([]row, 1)},
	}
}

func (s *dutifulSite) handlers(p Payload) Handlers {
	return Handlers{
		Untouched: s.handle(okay),
		ReadOne: s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, err := sessionOf(r)
			if err != nil {
				answerError(w, err)
				return
			}
			io.WriteString(w, v.text(nameKey))
		}),
		WriteOne: s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, err := sessionOf(r)
			if err != nil {
				answerError(w, err)
				return
			}
			n := v.number(visitsKey)
			if err := v.setNumber(visitsKey, n+1); err != nil {
				answerError(w, err)
				return
			}
			w.Write(counted(n + 1))
		}),
		SignIn: s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, err := sessionOf(r)
			if err == nil {
				err = v.signIn(user(r))
			}
			if err != nil {
				answerError(w, err)
				return
			}
			w.Write(okayBody)
		}),
		fill: s.filler(p),
	}
}

// filler starts a session with the payload.
func (s *dutifulSite) filler(p Payload) http.Handler {
	values := map[string]any{nameKey: name, visitsKey: 1}
	data := put(nil, nil, nameKey, tagText, []byte(name))
	for i, text := range p.Texts {
		values[textKey(i)] = text
		data = put(nil, data, textKey(i), tagText, []byte(text))
	}
	data = put(nil, data, visitsKey, tagNumber, binary.AppendVarint(nil, 1))
	if !s.owes.has(ownCopy) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.startLive(w, values) })
	}
	return s.handle(func(w http.ResponseWriter, r *http.Request) {
		v, err := sessionOf(r)
		if err == nil {
			v.working = append([]byte(nil), data...)
			err = v.signIn(user(r))
		}
		if err != nil {
			answerError(w, err)
		}
	})
}

// startLive starts a session of the lowest rungs, whose sessions only the
// payload is put into.
func (s *dutifulSite) startLive(w http.ResponseWriter, values map[string]any) {
	if !s.owes.has(idAndVerifier) {
		f := &floor{sessions: map[[32]byte]*floorSession{}}
		f.start(w, "", values)
		for hash, started := range f.sessions {
			s.live[hash] = &liveSession{floorSession: floorSession{values: started.values}}
		}
		return
	}
	t, _ := drawToken("", false)
	var key [32]byte
	copy(key[:], t.id[:])
	s.live[key] = &liveSession{floorSession{values: values}, t.secret.verifier(labelOpen)}
	w.Header()["Set-Cookie"] = []string{t.line()}
}

func answerError(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), statusOf(err))
}
