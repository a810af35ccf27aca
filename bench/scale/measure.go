package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/coatcheck"
	contract "github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
	"github.com/coatcheck/coatcheck/store/redisstore"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// What a typical session holds: a name, a cart and a number, 235 bytes.
var (
	nameKey  = coatcheck.NewKey[string]("shop.name")
	cartKey  = coatcheck.NewKey[string]("shop.cart")
	countKey = coatcheck.NewKey[int]("shop.visits")
)

const browserName = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

// opened is a store and the way to let go of it.
type opened interface {
	contract.Store
	Close() error
}

func open(ctx context.Context, where string) (opened, error) {
	scheme, file, _ := strings.Cut(where, ":")
	switch {
	case scheme == "sqlite":
		return sqlitestore.Open(ctx, file, nil)
	case strings.HasPrefix(scheme, "redis"):
		return redisstore.Open(ctx, where, nil)
	case scheme == "postgres":
		return pgstore.Open(ctx, where, nil)
	}
	return nil, errors.New("-measure: give sqlite:FILE, redis://..., redis-cluster://... or postgres://...")
}

// measure signs in so many users, then does a part as many of the other things.
func measure(ctx context.Context, where string, sessions, clients int) (err error) {
	st, err := open(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	m, err := coatcheck.New(coatcheck.Config{Store: st})
	if err != nil {
		return err
	}
	cookies := make([]*http.Cookie, sessions)
	ids := make([]contract.ID, sessions)
	signIn := func(i int) error {
		w, err := visit(m, nil, func(r *http.Request, s *coatcheck.Session) error {
			if err := s.SignIn(r.Context(), fmt.Sprintf("user-%08d@example.com", i)); err != nil {
				return err
			}
			ids[i] = s.ID()
			return s.Update(r.Context(), func() error {
				return errors.Join(nameKey.Set(s, "Alice Lidell"), cartKey.Set(s, strings.Repeat("4006381333931 ", 12)), countKey.Set(s, 1))
			})
		})
		if err == nil {
			cookies[i] = w.Result().Cookies()[0]
		}
		return err
	}
	load := func(i int) error { return st.Load(ctx, ids[i], new(contract.Record), contract.Fresh) }
	read := func(i int) error {
		_, err := visit(m, cookies[i], func(_ *http.Request, s *coatcheck.Session) error {
			if !s.SignedIn() {
				return errors.New("a session is lost")
			}
			nameKey.Get(s)
			return nil
		})
		return err
	}
	write := func(i int) error {
		_, err := visit(m, cookies[i], func(_ *http.Request, s *coatcheck.Session) error {
			return countKey.Update(s, func(n int) (int, error) { return n + 1, nil })
		})
		return err
	}
	touch := func(i int) error { return st.Touch(ctx, ids[i], time.Now()) }
	part := max(sessions/4, 1)
	for _, work := range []struct {
		what string
		n    int
		do   func(int) error
	}{
		{"sign-ins with data (two operations)", sessions, signIn},
		{"loads past any copy", part, load},
		{"touches", part, touch},
		{"requests that write (a load and an update)", part, write},
		{"requests that read, copies as they are", part, read},
		{"the same again", part, read},
	} {
		rate, err := together(work.n, clients, work.do)
		if err != nil {
			return err
		}
		fmt.Printf("%9.0f/s  %s, %d of them by %d clients\n", rate, work.what, work.n, clients)
	}
	return nil
}

// together has clients do n things and returns how many they did a second.
func together(n, clients int, do func(int) error) (float64, error) {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// visit is one request that handles its session so.
func visit(m *coatcheck.Manager, cookie *http.Cookie, does func(*http.Request, *coatcheck.Session) error) (*httptest.ResponseRecorder, error) {
	r := httptest.NewRequest("POST", "https://shop.example/", nil)
	r.Header.Set("User-Agent", browserName)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	m.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *coatcheck.Session) error { return does(r, s) }).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("a request is answered %d: %s", w.Code, w.Body)
	}
	return w, nil
}
