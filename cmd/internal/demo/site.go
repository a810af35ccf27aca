// Package demo is the site that `coatcheck demo` serves: The Coat Check, a
// fictional house with a shop, a wallet and an administrator, on which a
// person can see what becomes of a session.
//
// [New] makes the site, which is an http.Handler; a server that shuts down
// calls [Site.Close] so that open streams end. The site speaks to its sessions
// as any program would: routes.go has the routes and who may use them, and one
// file for each part of the house has its handlers: shop.go, checkout.go,
// signin.go, wallet.go, account.go, sessionspage.go, admin.go, happened.go,
// live.go, device.go. The business behind them, without HTTP, is package house; package
// exchange records and draws what browser and server say to each other.
package demo

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/exchange"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// The names that coatcheck.Config.Name makes of the zero Config, for the cookie
// of somebody who is signed in and for a visitor's.
const (
	cookieName = "__Host-id"
	visitName  = cookieName + "-visit"
)

// Options for New. The zero Options are what `coatcheck demo` uses.
type Options struct {
	// Store keeps the sessions. The site does not close it. Default: a new
	// memory store.
	Store store.Store
	// Now is the clock of sessions, wallets and pages. Default: time.Now.
	Now func() time.Time
	// Logger gets what an operator must see. Default: slog.Default().
	Logger *slog.Logger
	// DeviceBound binds sessions to the devices of browsers that can, and adds
	// the page that shows it. It needs TLS with a certificate that the browser
	// trusts.
	DeviceBound bool
}

// Site is the demo. Make it with [New]. Safe for concurrent use.
type Site struct {
	sessions  *coatcheck.Manager
	recorder  *exchange.Recorder
	handler   http.Handler
	pages     map[string]*template.Template
	assets    *assets
	now       func() time.Time
	logger    *slog.Logger
	sealed    bool // the store is outside this process
	binds     bool // sessions to devices
	accounts  *house.Accounts
	attempts  house.Attempts
	ledger    *house.Ledger
	orders    house.Orders
	events    eventLog
	closing   context.Context
	closeDown context.CancelFunc
}

// New makes a site that has just opened: accounts with their first passwords,
// full wallets, no orders.
func New(opts Options) (*Site, error) {
	if opts.Store == nil {
		opts.Store = memstore.New(nil)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Site{
		recorder: exchange.NewRecorder(cookieName, opts.Now),
		now:      opts.Now,
		logger:   opts.Logger,
		accounts: house.OpenAccounts(),
		ledger:   house.NewLedger(welcomeSum, opts.Now(), guestNames()...),
	}
	_, inProcess := opts.Store.(store.InProcess)
	s.sealed = !inProcess
	s.binds = opts.DeviceBound
	var bound dbsc.Config
	if s.binds {
		bound = dbsc.Config{Mode: dbsc.Prefer, Lifetime: boundFor}
	}
	s.closing, s.closeDown = context.WithCancel(context.Background())
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if s.pages, err = loadPages(s); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s.sessions, err = coatcheck.New(coatcheck.Config{
		Store:        s.recorder.Trace(opts.Store),
		SignInPath:   "/sign-in",
		ErrorHandler: s.problem,
		OnEvent:      s.happened,
		Logger:       opts.Logger,
		Now:          opts.Now,
		DeviceBound:  bound,
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP serves the site.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Sessions is the site's session manager, for whoever wants to look at or end
// sessions from outside.
func (s *Site) Sessions() *coatcheck.Manager { return s.sessions }

// Close ends the streams that pages hold open, so that a server can shut down.
// Other requests are still served.
func (s *Site) Close() { s.closeDown() }

// happened is told of every event of the sessions.
func (s *Site) happened(event coatcheck.Event) {
	s.events.add(event)
	if event.Kind == coatcheck.KindEnded && event.Reason != coatcheck.ReasonReplaced {
		s.recorder.Forget(event.ID)
	}
}

func guestNames() []string {
	var names []string
	for _, guest := range house.Guests() {
		names = append(names, guest.Name)
	}
	return names
}

// addressOf is the client's address as far as attempts are counted by it: an
// IPv6 client has the whole of its /64.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if address = address.Unmap(); address.Is6() {
		if prefix, err := address.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

// maxEvents is how many events the administrator sees.
const maxEvents = 200

// eventLog keeps the latest events, the newest first. The zero value is ready.
type eventLog struct {
	mu     sync.Mutex
	events []coatcheck.Event
}

func (l *eventLog) add(event coatcheck.Event) {
	event.Detail = strings.ToValidUTF8(event.Detail[:min(len(event.Detail), 200)], "")
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= 2*maxEvents {
		l.events = append([]coatcheck.Event(nil), l.latest()...)
	}
	l.events = append(l.events, event)
}

func (l *eventLog) latest() []coatcheck.Event {
	return l.events[max(0, len(l.events)-maxEvents):]
}

// newestFirst returns the events that are kept.
func (l *eventLog) newestFirst() []coatcheck.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.latest()
	newest := make([]coatcheck.Event, 0, len(kept))
	for i := len(kept) - 1; i >= 0; i-- {
		newest = append(newest, kept[i])
	}
	return newest
}
