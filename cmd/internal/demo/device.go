package demo

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/dbsc"
)

// boundName is what coatcheck.Config.Name makes of the zero Config, for the
// short-lived cookie of a session that is bound to a device.
const boundName = cookieName + "-bound"

// boundFor is how long that cookie lives here: as short as browsers can keep
// up with, so that a person can watch a copy of it die.
const boundFor = 5 * time.Minute

// binding is what the house knows of the key that a session is bound to. It
// comes from the latest events: the key itself is nobody's to see.
type binding struct {
	Algorithm string // "" if it was too long ago
	Renewed   time.Time
	Until     time.Time // a copy taken now works no longer
}

// bindingOf looks for the last proof of the session's device.
func (s *Site) bindingOf(id coatcheck.ID) binding {
	for _, event := range s.events.newestFirst() {
		if event.Kind == coatcheck.KindBound && event.ID == id {
			_, algorithm, _ := strings.Cut(event.Detail, ", ")
			return binding{algorithm, event.Time, event.Time.Add(boundFor + dbsc.LeewayExpiry)}
		}
	}
	return binding{}
}

// device shows whether the session is bound, and to what.
func (s *Site) device(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	return s.showDevice(w, r, session, "")
}

// steal writes down, for the user's own eyes, what a thief would run who has
// copied the cookies. It is the one page of the house that shows a token.
func (s *Site) steal(w http.ResponseWriter, r *http.Request, session *coatcheck.Session) error {
	var loot []string
	for _, name := range []string{cookieName, boundName} {
		if cookie, err := r.Cookie(name); err == nil && plain(cookie.Value) {
			loot = append(loot, name+"="+cookie.Value)
		}
	}
	address := url.URL{Scheme: "https", Host: r.Host, Path: "/device/who"}
	return s.showDevice(w, r, session, "curl -k '"+address.String()+"' -H 'Cookie: "+strings.Join(loot, "; ")+"'")
}

// plain reports whether the value may stand in a command line: whatever was
// issued here may.
func plain(value string) bool {
	return strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func (s *Site) showDevice(w http.ResponseWriter, r *http.Request, session *coatcheck.Session, stolen string) error {
	return s.show(w, r, session, http.StatusOK, "device", page{Title: "This device", Section: "/device", Back: "/device", Body: map[string]any{
		"Bound": session.Info().Bound, "Binding": s.bindingOf(session.ID()), "Stolen": stolen,
	}})
}

// who answers with a line, for the thief's command.
func (s *Site) who(w http.ResponseWriter, _ *http.Request, session *coatcheck.Session) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !session.SignedIn() {
		w.WriteHeader(http.StatusUnauthorized)
		_, err := io.WriteString(w, "Nobody. This cookie opens nothing.\n")
		return err
	}
	_, err := io.WriteString(w, session.Subject()+". This cookie opens the session.\n")
	return err
}
