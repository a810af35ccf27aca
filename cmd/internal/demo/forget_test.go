package demo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck"
)

// TestWhatWasRecordedGoesWithTheSession looks inside, since a session that has
// ended has no page left that could show it.
func TestWhatWasRecordedGoesWithTheSession(t *testing.T) {
	site, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "https://house.example/cart/add", strings.NewReader(url.Values{"good": {"coat"}, "quantity": {"1"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	site.ServeHTTP(httptest.NewRecorder(), r)
	var ids []coatcheck.ID
	for info, err := range site.sessions.All(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.ID)
	}
	if len(ids) != 1 || len(site.recorder.Of(ids[0])) != 1 {
		t.Fatalf("sessions are %v", ids)
	}
	if _, err := site.sessions.End(context.Background(), ids...); err != nil {
		t.Fatal(err)
	}
	if kept := site.recorder.Of(ids[0]); len(kept) > 0 {
		t.Errorf("%d exchanges are kept", len(kept))
	}
}
