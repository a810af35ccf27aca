package coatcheck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// eventScene is something that happens to alice's session, and the events that
// tell of it: kind, reason and subject.
type eventScene struct {
	name string
	play func(p *eventPlay) error
	want []string
}

// eventPlay is what a scene has to play with.
type eventPlay struct {
	t       *testing.T
	site    *coatchecktest.Site
	alice   *coatchecktest.Visitor
	visitor *coatchecktest.Visitor // with an anonymous session
	faults  *storetest.Faults
}

// do lets alice do something.
func (p *eventPlay) do(act func(s *coatcheck.Session) error) error {
	p.alice.Session(act)
	return nil
}

// again makes alice's browser present the cookie that it has had before act.
func (p *eventPlay) again(act func(s *coatcheck.Session) error) {
	before := cookieOf(p.alice, signedInCookie)
	p.alice.Session(act)
	p.alice.SetCookie(signedInCookie + "=" + before + "; Path=/; Secure")
}

var eventScenes = []eventScene{
	{"first write", func(p *eventPlay) error {
		coatchecktest.Put(p.site.Visitor(), textKey, "hello")
		return nil
	}, []string{"created||"}},
	{"another write", func(p *eventPlay) error { coatchecktest.Put(p.visitor, textKey, "again"); return nil }, nil},
	{"sign-in", func(p *eventPlay) error { p.site.SignedIn("alice"); return nil }, []string{"signed in||alice"}},
	{"sign-in of a visitor", func(p *eventPlay) error {
		p.visitor.Session(func(s *coatcheck.Session) error { return s.SignIn(ctx, "bob") })
		return nil
	}, []string{"ended|replaced|", "signed in||bob"}},
	{"re-authentication", func(p *eventPlay) error {
		return p.do(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
	}, []string{"re-authenticated||alice"}},
	{"credentials changed", func(p *eventPlay) error {
		p.site.SignedIn("alice")
		return p.do(func(s *coatcheck.Session) error { return s.CredentialsChanged(ctx) })
	}, []string{"signed in||alice", "re-authenticated|credentials changed|alice", "ended|ended by another|alice"}},
	{"rotation", func(p *eventPlay) error {
		p.site.Advance(time.Minute)
		return p.do(func(s *coatcheck.Session) error { return s.Rotate(ctx) })
	}, []string{"rotated||alice"}},
	{"sign-out, twice", func(p *eventPlay) error {
		return p.do(func(s *coatcheck.Session) error { return errors.Join(s.End(ctx), s.End(ctx)) })
	}, []string{"ended|sign-out|alice"}},
	{"ending another", func(p *eventPlay) error {
		other := p.site.SignedIn("alice").Info().ID
		return p.do(func(s *coatcheck.Session) error { return s.EndOther(ctx, other) })
	}, []string{"signed in||alice", "ended|ended by another|alice"}},
	{"by an operator", func(p *eventPlay) error {
		_, err := p.site.Manager().EndSubject(ctx, "alice")
		return err
	}, []string{"ended|ended by another|alice"}},
	{"by an operator, by id", func(p *eventPlay) error {
		_, err := p.site.Manager().End(ctx, p.alice.Info().ID, p.alice.Info().ID)
		return err
	}, []string{"ended|ended by another|"}},
	{"all of them", func(p *eventPlay) error { _, err := p.site.Manager().EndAll(ctx); return err }, []string{"ended|ended by another|"}},
	{"one too many", func(p *eventPlay) error {
		p.site.SignedIn("alice")
		p.site.SignedIn("alice")
		return nil
	}, []string{"signed in||alice", "ended|evicted|alice", "signed in||alice"}},
	{"idle", func(p *eventPlay) error { p.site.Advance(time.Hour); p.alice.Get("/"); return nil }, []string{"ended|idle|alice"}},
	{"reuse", func(p *eventPlay) error {
		p.site.Advance(time.Minute)
		p.again(func(s *coatcheck.Session) error { return s.Rotate(ctx) })
		other := p.site.Visitor()
		other.SetCookie(signedInCookie + "=" + cookieOf(p.alice, signedInCookie)[:32] + strings.Repeat("x", 32) + "; Path=/; Secure")
		other.Get("/")
		return nil
	}, []string{"rotated||alice", "retired token|reuse|alice", "ended|reuse|alice"}},
	{"stale", func(p *eventPlay) error {
		p.again(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
		p.alice.Get("/")
		return nil
	}, []string{"re-authenticated||alice", "stale request|replaced|alice"}},
	{"conflict", func(p *eventPlay) error {
		return p.do(func(s *coatcheck.Session) error {
			coatchecktest.Put(p.alice, otherKey, "of another request")
			return textKey.Set(s, "hello")
		})
	}, []string{"conflict retried||"}},
	{"write of a session that has ended", func(p *eventPlay) error {
		return p.do(func(s *coatcheck.Session) error {
			_, err := p.site.Manager().EndSubject(ctx, "alice")
			return errors.Join(err, textKey.Set(s, "hello"))
		})
	}, []string{"ended|ended by another|alice", "write dropped||"}},
	{"malformed token", func(p *eventPlay) error {
		p.alice.SetCookie(signedInCookie + "=nonsense; Path=/; Secure")
		p.alice.Get("/")
		return nil
	}, []string{"forged token|malformed|"}},
	{"another site", func(p *eventPlay) error { p.alice.PostFrom("https://evil.example", "/", nil); return nil }, []string{"cross-site refused||"}},
	{"a value that does not fit", func(p *eventPlay) error {
		coatchecktest.Put(p.alice, textKey, "hello")
		coatchecktest.Value(p.alice, coatcheck.NewKey[int](textKey.Name()))
		return nil
	}, []string{"undecodable value||alice"}},
	{"a store that fails", func(p *eventPlay) error {
		p.faults.Fail(storetest.Load, 1, errors.New("disk on fire"))
		p.alice.Get("/")
		return nil
	}, []string{"store error||"}},
	{"a touch that fails, and is tried again", func(p *eventPlay) error {
		p.site.Advance(2 * time.Minute)
		p.faults.Fail(storetest.Touch, 1, errors.New("disk on fire"))
		if res := p.alice.Get("/"); res.Status != http.StatusOK {
			p.t.Errorf("the request is answered with %d", res.Status)
		}
		p.alice.Get("/")
		if !p.alice.Info().LastSeen.Equal(p.site.Now()) {
			p.t.Error("the activity is not recorded by the next request")
		}
		return nil
	}, []string{"store error||"}},
}

// TestRule14EverythingThatHappensIsTold, once, with who and why.
func TestRule14EverythingThatHappensIsTold(t *testing.T) {
	for _, scene := range eventScenes {
		t.Run(scene.name, func(t *testing.T) {
			p := &eventPlay{t: t}
			st, faults := counted()
			config := coatcheck.Config{Store: st, MaxPerSubject: 2, Logger: silent}
			p.faults, p.site = faults, coatchecktest.New(t, config, page(look))
			p.alice, p.visitor = p.site.SignedIn("alice"), p.site.Visitor()
			coatchecktest.Put(p.visitor, textKey, "hello")
			before := len(p.site.Events())
			if err := scene.play(p); err != nil {
				t.Error(err)
			}
			var got []string
			for _, e := range p.site.Events()[before:] {
				got = append(got, fmt.Sprintf("%s|%s|%s", e.Kind, e.Reason, e.Subject))
				if !e.Time.Equal(p.site.Now()) {
					t.Errorf("%s: its time is %v, want %v", e.Kind, e.Time, p.site.Now())
				}
			}
			if !slices.Equal(got, scene.want) {
				t.Errorf("events: %q, want %q", got, scene.want)
			}
		})
	}
}

// TestRule14FloodsAreAggregated: of what an operator must see, one line of a
// kind each second, which says how many were held back.
func TestRule14FloodsAreAggregated(t *testing.T) {
	var log bytes.Buffer
	config := coatcheck.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))}
	site := coatchecktest.New(t, config, page(look))
	v := site.Visitor()
	v.SetCookie(signedInCookie + "=nonsense; Path=/; Secure")
	flood := func(n int) (lines []map[string]any) {
		t.Helper()
		log.Reset()
		for range n {
			v.Get("/")
		}
		v.PostFrom("https://evil.example", "/", nil) // another kind waits for none
		for line := range strings.Lines(log.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fields)
		}
		return lines
	}
	first := flood(1000)
	if len(first) != 2 || first[0]["msg"] != "coatcheck: forged token" || first[0]["level"] != "WARN" || first[1]["msg"] != "coatcheck: cross-site refused" {
		t.Errorf("the flood is logged as %v", first)
	}
	if session, _ := first[0]["session"].(map[string]any); session["reason"] != "malformed" || session["remote"] != "192.0.2.2" {
		t.Errorf("the line says %v", first[0])
	}
	site.Advance(time.Second)
	if next := flood(1); len(next) != 2 || next[0]["held_back"] != 999.0 {
		t.Errorf("a second later: %v", next)
	}
	if events := len(site.Events(coatcheck.KindForgedToken)); events != 1001 {
		t.Errorf("OnEvent was told %d times", events)
	}
}

// TestRule14WhatIsOrdinaryIsNotLogged: it would bury the rest.
func TestRule14WhatIsOrdinaryIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	site := coatchecktest.New(t, coatcheck.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, page(look))
	v := site.Visitor()
	coatchecktest.Put(v, textKey, "hello")
	v.Session(func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") })
	v.Session(func(s *coatcheck.Session) error { return s.Reauthenticate(ctx) })
	v.Session(func(s *coatcheck.Session) error { return s.End(ctx) })
	v.Get("/")
	if len(site.Events()) < 5 || log.Len() > 0 {
		t.Errorf("%d events; logged:\n%s", len(site.Events()), log.String())
	}
}

// TestRule14AnEventCannotForgeALogLine (ASVS 16.4.1).
func TestRule14AnEventCannotForgeALogLine(t *testing.T) {
	var log bytes.Buffer
	site := coatchecktest.New(t, coatcheck.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, page(look))
	site.Visitor().PostFrom("https://evil.example", "/a%0alevel=ERROR%20msg=forged", nil)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || strings.Contains(log.String(), " level=ERROR") {
		t.Errorf("the log has %d lines:\n%s", lines, log.String())
	}
}

// TestRule14AnEventIsShort: what a request says of itself may be as long as the
// server reads, a megabyte, and is not to fill the log.
func TestRule14AnEventIsShort(t *testing.T) {
	var log bytes.Buffer
	site := coatchecktest.New(t, coatcheck.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, page(whoami))
	long := strings.Repeat("ü", 1<<16)
	site.Visitor().PostFrom("https://evil.example", "/"+long, nil)
	v := site.Visitor()
	v.SetCookie(signedInCookie + "=" + strings.Repeat("A", 4000) + "; Path=/; Secure")
	r := httptest.NewRequest("POST", "http://"+strings.Repeat("a", 1<<16)+"/", nil)
	w := httptest.NewRecorder()
	site.Manager().HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.SignIn(r.Context(), "alice")
	}).ServeHTTP(w, r)
	v.Get("/")
	events := site.Events()
	if len(events) != 3 {
		t.Errorf("%d events, want 3", len(events))
	}
	for _, e := range events {
		if len(e.Detail) > 600 || !utf8.ValidString(e.Detail) {
			t.Errorf("an event %q with %d bytes", e.Kind, len(e.Detail))
		}
	}
	if log.Len() > 4000 {
		t.Errorf("three requests wrote %d bytes to the log", log.Len())
	}
}

// TestRule14AClockThatIsSetBackSilencesNothing: what an operator must see is
// not held back until the clock has caught up.
func TestRule14AClockThatIsSetBackSilencesNothing(t *testing.T) {
	var log bytes.Buffer
	srv := newServer(t, memory(), func(c *coatcheck.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b := srv.browser()
	b.cookies[signedInCookie] = "nonsense"
	for i, back := range []time.Duration{0, 0, time.Hour, time.Millisecond} {
		srv.clock.advance(-back)
		b.must(read)
		if got, want := strings.Count(log.String(), "\n"), []int{1, 1, 2, 2}[i]; got != want {
			t.Errorf("after %d forged tokens, the last %v back, the log has %d lines, want %d", i+1, back, got, want)
		}
	}
}
