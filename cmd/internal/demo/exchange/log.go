package exchange

import (
	"slices"

	"github.com/coatcheck/coatcheck/store"
)

// How much is kept.
const (
	maxPerSession = 12
	maxSessions   = 500
	maxReceipts   = 100
	maxSteps      = 24
)

type log struct {
	cookie    Cookie     // the session's, as it was set last
	setBy     Exchange   // in which exchange that was
	exchanges []Exchange // the newest first
	watchers  map[chan struct{}]bool
}

type receipt struct {
	name     string
	exchange Exchange
}

// file keeps a finished exchange with the session that it belongs to: the one
// that the answer gave a cookie for, else the one that served it and whose
// cookie it brought. An exchange without either belongs to nobody and is not
// kept, so that strangers without a cookie take no memory.
func (r *Recorder) file(exchange Exchange, t *trace, claims []store.ID, given store.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	exchange.Number = r.number
	if t.receipt != "" {
		r.receipts = append(r.receipts, receipt{t.receipt, exchange})
		r.receipts = r.receipts[max(0, len(r.receipts)-maxReceipts):]
	}

	proven := t.wasServed && slices.Contains(claims, t.first.id)
	owner := given
	switch {
	case given.IsZero() && !proven, exchange.EndsSession():
		return
	case given.IsZero():
		owner = t.first.id
	case proven && given != t.first.id:
		r.inherit(given, t)
	}
	kept := r.open(owner)
	if cookie, found := exchange.SessionCookie(); found && !given.IsZero() {
		kept.cookie, kept.setBy = cookie, exchange
	}
	kept.exchanges = append([]Exchange{exchange}, kept.exchanges...)
	kept.exchanges = kept.exchanges[:min(len(kept.exchanges), maxPerSession)]
	for watcher := range kept.watchers {
		select {
		case watcher <- struct{}{}:
		default: // it has one to look at already
		}
	}
}

// inherit hands the exchanges of a session to the one that took its place,
// unless they are another person's.
func (r *Recorder) inherit(heir store.ID, t *trace) {
	old := r.logs[t.first.id]
	if old == nil || t.first.subject != "" && t.first.subject != t.last.subject {
		return
	}
	r.open(heir).exchanges = old.exchanges
	old.exchanges = nil
}

// open finds or makes the log of a session and marks it as just used. Beyond
// the bound the log that was not used for longest goes.
func (r *Recorder) open(id store.ID) *log {
	kept := r.logs[id]
	if kept == nil {
		kept = &log{watchers: map[chan struct{}]bool{}}
		r.logs[id] = kept
	} else {
		r.order = slices.DeleteFunc(r.order, func(other store.ID) bool { return other == id })
	}
	r.order = append(r.order, id)
	if len(r.order) > maxSessions {
		delete(r.logs, r.order[0])
		r.order = r.order[1:]
	}
	return kept
}

// Of returns the last exchanges of a session, the newest first.
func (r *Recorder) Of(id store.ID) []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.logs[id]; kept != nil {
		return slices.Clone(kept.exchanges)
	}
	return nil
}

// Cookie returns a session's cookie as it was set last, and the exchange that
// did so: a browser sends back no more than name and value.
func (r *Recorder) Cookie(id store.ID) (cookie Cookie, setBy Exchange, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.logs[id]; kept != nil && kept.cookie.Name != "" {
		return kept.cookie, kept.setBy, true
	}
	return Cookie{}, Exchange{}, false
}

// Receipt returns the exchange that was kept under a name by [Receipt].
func (r *Recorder) Receipt(name string) (Exchange, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range r.receipts {
		if kept.name == name && name != "" {
			return kept.exchange, true
		}
	}
	return Exchange{}, false
}

// Forget drops what is kept of a session.
func (r *Recorder) Forget(id store.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.logs[id]; kept != nil {
		kept.exchanges, kept.cookie, kept.setBy = nil, Cookie{}, Exchange{}
	}
}

// Watch returns a channel that has something in it whenever there is a new
// exchange of a session. stop ends that.
func (r *Recorder) Watch(id store.ID) (news <-chan struct{}, stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	watcher := make(chan struct{}, 1)
	kept := r.open(id)
	kept.watchers[watcher] = true
	return watcher, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(kept.watchers, watcher)
	}
}
