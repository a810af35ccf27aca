package site_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// What does not do its work must not win.
func TestEverySiteDoesItsWork(t *testing.T) {
	for _, contender := range site.All {
		for _, payload := range []site.Payload{site.Small, site.Large} {
			s, err := contender.New(payload)
			if errors.Is(err, site.ErrTooLarge) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for _, work := range site.Works {
				if !contender.Can(work) {
					continue
				}
				v, err := s.Visitor(work)
				if err != nil {
					t.Fatalf("%s, %s, %s: %v", contender.Name, payload.Label, work, err)
				}
				for visit := range 3 {
					v.Visit()
					answer, err := v.Answer()
					if want := wanted(contender.Name, work, visit); err != nil || answer != want {
						t.Errorf("%s, %s, %s: answered %q, %v; want %q", contender.Name, payload.Label, work, answer, err, want)
					}
					if err := site.Check(v, work); err != nil {
						t.Errorf("%s, %s: %v", contender.Name, payload.Label, err)
					}
				}
			}
		}
	}
}

func wanted(contender string, work site.Work, visit int) string {
	switch {
	case work == site.NoCookie:
		return ""
	case work == site.ReadOne:
		return "Alice Example"
	case work == site.WriteOne && (visit%2 == 0 || contender == "gorilla cookie" || contender == "coatcheck sealed cold"):
		// the cookie of the first is not followed, and of the second each visit is to another session
		return "even"
	case work == site.WriteOne:
		return "odd"
	}
	return "ok"
}

// A request that is made anew asks for the same work and gets the same answer.
func TestAnewDoesTheSame(t *testing.T) {
	for _, name := range []string{"floor", "floor with duties", "coatcheck", "scs"} {
		contender, err := site.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := contender.New(site.Small)
		if err != nil {
			t.Fatal(err)
		}
		for _, work := range site.Works {
			v, err := s.Visitor(work)
			if err == nil {
				v, err = site.Anew(v)
			}
			if err != nil {
				t.Fatal(err)
			}
			for visit := range 3 {
				v.Visit()
				answer, err := v.Answer()
				if want := wanted(name, work, visit); err != nil || answer != want {
					t.Errorf("%s, %s: answered %q, %v; want %q", name, work, answer, err, want)
				}
			}
		}
	}
	fiber, err := site.Named("fiber")
	if err != nil {
		t.Fatal(err)
	}
	s, err := fiber.New(site.Small)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.Visitor(site.NoCookie); err != nil {
		t.Fatal(err)
	} else if _, err := site.Anew(v); err == nil {
		t.Error("fiber's requests count as net/http's")
	}
}

func TestCrowdReadsItsSessions(t *testing.T) {
	for _, name := range []string{"floor", "coatcheck", "coatcheck sealed"} {
		contender, err := site.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := contender.New(site.Small)
		if err != nil {
			t.Fatal(err)
		}
		v, err := site.Crowd(s, 100)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			v.Visit()
			if err := site.Check(v, site.ReadOne); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// answered is a visitor with one answer.
type answered struct {
	body string
	err  error
}

func (a answered) Visit()                  {}
func (a answered) Answer() (string, error) { return a.body, a.err }

func TestCheckRefuses(t *testing.T) {
	for work, wrong := range map[site.Work]answered{
		site.NoCookie:  {body: "Alice Example"},
		site.ReadOne:   {body: ""},
		site.WriteOne:  {body: ""},
		site.SignIn:    {body: "ok", err: errors.New("status 503")},
		site.Untouched: {body: "not ok"},
	} {
		if site.Check(wrong, work) == nil {
			t.Errorf("%s: %+v passes", work, wrong)
		}
	}
}

// A site that is closed leaves nothing behind: a goroutine would keep its
// sessions, and every round after it would pay for them.
func TestClosedSitesAreGone(t *testing.T) {
	round := func(c site.Contender) {
		s, err := c.New(site.Small)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	for _, c := range site.All {
		if strings.HasPrefix(c.Name, "scs") {
			continue // keeps a goroutine, and no session: see newSCS
		}
		round(c) // what a library starts once for all
		before := runtime.NumGoroutine()
		for range 10 {
			round(c)
		}
		for wait := time.Millisecond; runtime.NumGoroutine() > before && wait < time.Second; wait *= 2 {
			time.Sleep(wait)
		}
		if left := runtime.NumGoroutine() - before; left > 0 {
			t.Errorf("%s: %d goroutines are left of 10 sites", c.Name, left)
		}
	}
}
