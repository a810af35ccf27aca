package site

import (
	"io"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

// newSCS is alexedwards/scs as its README begins: LoadAndSave around the
// handlers, memstore, the defaults. Every request with a cookie loads and
// decodes its session, asked for or not.
func newSCS(p Payload) (Site, error) { return overSCS(scs.New(), p) }

// newSCSIdle is the same with an idle limit, as everything of this project
// has. Every request then encodes and stores its session too.
func newSCSIdle(p Payload) (Site, error) {
	sessions := scs.New()
	sessions.IdleTimeout = 30 * time.Minute
	return overSCS(sessions, p)
}

func overSCS(sessions *scs.SessionManager, p Payload) (Site, error) {
	// Without its cleaning each minute: no round lasts that long, and the
	// goroutine would keep the sessions when the site is closed. That of the
	// store which New has made stays, and keeps nothing: it cannot be stopped
	// before it has run (StopCleanup reads what it writes).
	sessions.Store = memstore.NewWithCleanupInterval(0)
	handle := func(h http.HandlerFunc) http.Handler { return sessions.LoadAndSave(h) }
	return &httpSite{handlers: Handlers{
		Untouched: handle(okay),
		ReadOne: handle(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, sessions.GetString(r.Context(), nameKey))
		}),
		WriteOne: handle(func(w http.ResponseWriter, r *http.Request) {
			n := sessions.GetInt(r.Context(), visitsKey)
			sessions.Put(r.Context(), visitsKey, n+1)
			w.Write(counted(n + 1))
		}),
		SignIn: handle(func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.RenewToken(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			sessions.Put(r.Context(), "user", user(r))
			w.Write(okayBody)
		}),
		fill: handle(func(w http.ResponseWriter, r *http.Request) {
			sessions.Put(r.Context(), nameKey, name)
			sessions.Put(r.Context(), visitsKey, 1)
			for i, text := range p.Texts {
				sessions.Put(r.Context(), textKey(i), text)
			}
		}),
	}}, nil
}
