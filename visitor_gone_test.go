package coatcheck_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// A visitor who closes the tab while the session is loaded is nobody's fault:
// neither an event nor a line in the log.
func TestVisitorWhoHasGoneIsNoStoreTrouble(t *testing.T) {
	var log bytes.Buffer
	var kinds []coatcheck.Kind
	kept, faults := storetest.Faulty(memstore.New(nil))
	sessions, err := coatcheck.New(coatcheck.Config{
		Store:   kept,
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		OnEvent: func(e coatcheck.Event) { kinds = append(kinds, e.Kind) },
	})
	if err != nil {
		t.Fatal(err)
	}
	site := sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if r.URL.Path == "/in" {
			return s.SignIn(r.Context(), "alice")
		}
		return errors.New("this page is broken")
	})
	in := httptest.NewRecorder()
	site.ServeHTTP(in, httptest.NewRequest("POST", "https://shop.example/in", nil))
	ask := func(ctx context.Context) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, "GET", "https://shop.example/", nil)
		r.Header.Set("Cookie", strings.Split(in.Header().Get("Set-Cookie"), ";")[0])
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		return w
	}

	kinds = nil
	gone, leave := context.WithCancel(t.Context())
	leave()
	faults.Fail(storetest.Load, 2, context.Canceled)
	if w := ask(gone); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the answer that nobody gets is %d", w.Code)
	}
	if len(kinds) > 0 || log.Len() > 0 {
		t.Errorf("a visitor who has gone raised %v and logged:\n%s", kinds, &log)
	}

	ask(t.Context())
	if len(kinds) == 0 || log.Len() == 0 {
		t.Error("the same failure for one who waits raised and logged nothing")
	}
	faults.Heal()
	log.Reset()
	ask(t.Context())
	if !strings.Contains(log.String(), "this page is broken") {
		t.Errorf("an error that nobody else handles is not in the log:\n%s", &log)
	}
}
