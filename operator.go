package coatcheck

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/store"
)

// Info describes a session in lists. It holds nothing that opens one.
type Info struct {
	ID              ID        `json:"id"`
	Subject         string    `json:"subject,omitempty"` // empty if anonymous
	Created         time.Time `json:"created,omitzero"`
	LastSeen        time.Time `json:"last_seen,omitzero"`        // at most a minute behind
	Expires         time.Time `json:"expires,omitzero"`          // if no request comes: the earlier of both limits
	Absolute        time.Time `json:"absolute,omitzero"`         // however many come
	SignedInAt      time.Time `json:"signed_in_at,omitzero"`     // zero if anonymous
	AuthenticatedAt time.Time `json:"authenticated_at,omitzero"` // the last proof of identity
	Level           int       `json:"level"`
	Device          string    `json:"device,omitempty"`  // as given to SignIn, or from the User-Agent
	Network         string    `json:"network,omitempty"` // where it signed in: the address cut to /24 or /48
	Remembered      bool      `json:"remembered"`
	Bound           bool      `json:"bound"`             // to the device that signed in: see package dbsc
	Current         bool      `json:"current,omitempty"` // it is the one that asks
}

func (m *Manager) info(r *store.Record, h *head.Head) Info {
	i := Info{
		ID: r.ID, Subject: m.subjectOf(r), Created: r.Created, LastSeen: r.LastSeen,
		Expires: r.Deadline(), Absolute: r.Absolute, Level: int(h.Level),
		Device: string(h.Device), Network: string(h.Network), Remembered: h.Remembered,
	}
	if b, err := dbsc.Parse(h.Bound); err == nil {
		i.Bound = b.Bound != nil
	}
	if h.SignedIn {
		i.SignedInAt, i.AuthenticatedAt = r.Created, h.Authenticated
	}
	return i
}

// describe returns the Info of a record, unless it belongs to a manager of
// another name.
func (m *Manager) describe(r *store.Record) (i Info, mine bool, err error) {
	var h head.Head
	if err := h.Parse(r.Head); err != nil {
		return Info{}, false, storeError("session "+r.ID.String(), err)
	}
	return m.info(r, &h), string(h.Name) == m.config.Name, nil
}

// Lookup returns the live session of that id, or ErrNotFound.
func (m *Manager) Lookup(ctx context.Context, id ID) (Info, error) {
	var r store.Record
	err := m.load(ctx, id, &r, store.Fresh)
	if errors.Is(err, store.ErrNotFound) {
		return Info{}, ErrNotFound
	}
	if err != nil {
		return Info{}, err
	}
	i, mine, err := m.describe(&r)
	if err != nil {
		return Info{}, err
	}
	if !mine || !r.Live(m.now()) {
		return Info{}, ErrNotFound
	}
	return i, nil
}

// List returns the live sessions of a user, oldest first.
func (m *Manager) List(ctx context.Context, subject string) ([]Info, error) {
	if subject == "" {
		return nil, errNoSubject
	}
	ctx, call := m.readContext(ctx)
	defer call.end()
	records, err := m.config.Store.List(ctx, m.subjectKey(subject), m.now())
	if err != nil {
		return nil, storeError("list", err)
	}
	list := make([]Info, 0, len(records))
	for i := range records {
		info, mine, err := m.describe(&records[i])
		if err != nil {
			return nil, err
		}
		if mine {
			list = append(list, info)
		}
	}
	return list, nil
}

// All yields every live session of this manager, the anonymous ones included,
// in no particular order. The first error ends it.
func (m *Manager) All(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for r, err := range m.config.Store.All(ctx) {
			if err != nil {
				yield(Info{}, storeError("list all", err))
				return
			}
			if !r.Live(m.now()) {
				continue
			}
			info, mine, err := m.describe(&r)
			if (mine || err != nil) && !yield(info, err) || err != nil {
				return
			}
		}
	}
}

var errNoSubject = fmt.Errorf("coatcheck: the subject is empty: name a user")

// End ends sessions by id and returns how many there were. Their next requests
// find none, on every machine that shares the store, within the bound that the
// store states.
func (m *Manager) End(ctx context.Context, ids ...ID) (int, error) {
	ctx, call := m.writeContext(ctx)
	defer call.end()
	gone, err := m.config.Store.Delete(ctx, ids...)
	if err != nil {
		return len(gone), storeError("end", err)
	}
	m.tellEnded(gone, "")
	return len(gone), nil
}

// EndSubject ends every session of a user, refuses sign-ins of that user which
// are under way, and returns how many it ended. With the context of a request,
// that request itself may sign the user in afterwards, as after a reset of the
// password.
func (m *Manager) EndSubject(request context.Context, subject string) (int, error) {
	if subject == "" {
		return 0, errNoSubject
	}
	ctx, call := m.writeContext(request)
	defer call.end()
	mark := m.config.Now()
	gone, err := m.config.Store.DeleteSubject(ctx, m.subjectKey(subject), store.Instant(mark))
	if err != nil {
		return len(gone), storeError("end the sessions of a subject", err)
	}
	m.tellEnded(gone, subject)
	if s, ok := request.Value(contextKey{m}).(*Session); ok {
		s.mu.Lock()
		s.outlive(mark)
		s.mu.Unlock()
	}
	return len(gone), nil
}

// outlive has what the request does from now on come after a mark that it has
// left itself, so that it may sign that user in: no later than it must, to
// outrun nobody else's mark. A store whose marks are not exact adds
// ClockTolerance to them. mu is held.
func (s *Session) outlive(mark time.Time) {
	if !s.manager.exactMarks {
		mark = mark.Add(store.ClockTolerance)
	}
	if mark.After(s.began) { // else another goroutine has ended more, later
		s.began = mark
	}
}

// EndAll ends every session in the store, those of other managers on it too,
// and returns how many there were. It takes as long as the store needs.
func (m *Manager) EndAll(ctx context.Context) (int, error) {
	n, err := m.config.Store.DeleteAll(context.WithoutCancel(ctx), m.now())
	if err != nil {
		return n, storeError("end all sessions", err)
	}
	m.emit(Event{Kind: KindEnded, Reason: ReasonByAnother, Detail: fmt.Sprintf("all %d", n)})
	return n, nil
}

func (m *Manager) tellEnded(ids []ID, subject string) {
	for _, id := range ids {
		m.emit(Event{Kind: KindEnded, ID: id, Subject: subject, Reason: ReasonByAnother})
	}
}
