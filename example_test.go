package coatcheck_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck"
)

// surf returns a browser with cookies that visits a site by its handler.
func surf(site http.Handler) (visit func(path string)) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	client := http.Client{Jar: jar, Transport: inProcess{site}}
	return func(path string) {
		res, err := client.Get("https://shop.example" + path)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			panic(err)
		}
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %d %s", path, res.StatusCode, body)))
	}
}

// inProcess is the way from a client to a handler, without a network.
type inProcess struct{ site http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.TLS = &tls.ConnectionState{}
	r.RemoteAddr = "192.0.2.1:49152"
	p.site.ServeHTTP(w, r)
	return w.Result(), nil
}

var visits = coatcheck.NewKey[int]("visits")

func hello(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
	if err := visits.Update(s, func(n int) (int, error) { return n + 1, nil }); err != nil {
		return err
	}
	n, _ := visits.Get(s)
	_, err := fmt.Fprintf(w, "Hello %s, this is visit %d.", s.Subject(), n)
	return err
}

// A program's main function does the same and ends with
//
//	log.Fatal(http.ListenAndServe("localhost:8080", mux))
func Example() {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", sessions.HandlerFunc(hello))

	visit := surf(mux)
	visit("/")
	visit("/")
	// Output:
	// / 200 Hello , this is visit 1.
	// / 200 Hello , this is visit 2.
}

// SignIn makes a new session and carries the data over.
func ExampleSession_SignIn() {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/", sessions.HandlerFunc(hello))
	mux.Handle("/sign-in", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		// ... check the password ...
		if err := s.SignIn(r.Context(), "alice"); err != nil {
			return err
		}
		http.Redirect(w, r, coatcheck.NextPath(r), http.StatusSeeOther)
		return nil
	}))
	mux.Handle("/sign-out", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := s.End(r.Context()); err != nil {
			return err
		}
		_, err := fmt.Fprint(w, "Goodbye.")
		return err
	}))

	visit := surf(mux)
	visit("/")
	visit("/sign-in?next=/account")
	visit("/sign-out")
	visit("/")
	// Output:
	// / 200 Hello , this is visit 1.
	// /sign-in?next=/account 200 Hello alice, this is visit 2.
	// /sign-out 200 Goodbye.
	// / 200 Hello , this is visit 1.
}

// Update runs its function again if another request changed the value
// meanwhile, so that parallel requests lose nothing.
func ExampleKey_Update() {
	cart := coatcheck.NewKey[[]string]("shop.cart")
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/add", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		err := cart.Update(s, func(items []string) ([]string, error) {
			return append(items, r.FormValue("item")), nil
		})
		if err != nil {
			return err
		}
		items, _ := cart.Get(s)
		_, err = fmt.Fprint(w, items)
		return err
	}))

	visit := surf(mux)
	visit("/add?item=scarf")
	visit("/add?item=hat")
	// Output:
	// /add?item=scarf 200 [scarf]
	// /add?item=hat 200 [scarf hat]
}

// A message that is shown once.
func ExampleKey_Pop() {
	message := coatcheck.NewKey[string]("message")
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/save", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		if err := message.Set(s, "Your coat is safe."); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	mux.Handle("/", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		text, found, err := message.Pop(s)
		if err != nil {
			return err
		}
		if !found {
			text = "Nothing new."
		}
		_, err = fmt.Fprint(w, text)
		return err
	}))

	visit := surf(mux)
	visit("/save")
	visit("/")
	// Output:
	// /save 200 Your coat is safe.
	// / 200 Nothing new.
}

// A voucher that is good once, however many requests bring it at a time: it is
// taken and stored before anything is given for it.
func ExampleSession_Update() {
	voucher := coatcheck.NewKey[string]("shop.voucher")
	errUsed := errors.New("the voucher is used up")
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/win", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return voucher.Set(s, "one free coat hanger")
	}))
	mux.Handle("/redeem", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		var prize string
		err := s.Update(r.Context(), func() error {
			var found bool
			if prize, found = voucher.Get(s); !found {
				return errUsed
			}
			return voucher.Delete(s)
		})
		if errors.Is(err, errUsed) {
			http.Error(w, "Sorry, it is used up.", http.StatusConflict)
			return nil
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "Here you are: %s.", prize)
		return err
	}))

	visit := surf(mux)
	visit("/win")
	visit("/redeem")
	visit("/redeem")
	// Output:
	// /win 200
	// /redeem 200 Here you are: one free coat hanger.
	// /redeem 409 Sorry, it is used up.
}

// A transfer asks for a sign-in of the last five minutes.
func ExampleManager_RequireFresh() {
	clock := time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)
	sessions, err := coatcheck.New(coatcheck.Config{Now: func() time.Time { return clock }})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/sign-in", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.SignIn(r.Context(), "alice")
	}))
	mux.Handle("/confirm", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		// ... check the password again ...
		return s.Reauthenticate(r.Context())
	}))
	mux.Handle("/transfer", sessions.RequireFresh(5*time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "Done.")
	})))

	visit := surf(mux)
	visit("/sign-in")
	clock = clock.Add(10 * time.Minute)
	visit("/transfer")
	visit("/confirm")
	visit("/transfer")
	// Output:
	// /sign-in 200
	// /transfer 401 confirm your identity again first
	// /confirm 200
	// /transfer 200 Done.
}

// What an operator does about a stolen notebook.
func ExampleManager_List() {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/sign-in", sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		return s.SignIn(r.Context(), "alice", coatcheck.Device(r.FormValue("from")))
	}))
	notebook, phone := surf(mux), surf(mux)
	notebook("/sign-in?from=notebook")
	phone("/sign-in?from=phone")

	r := httptest.NewRequest("POST", "/admin", nil) // the operator's request
	list, err := sessions.List(r.Context(), "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, info := range list {
		fmt.Println(info.Device, "at", info.Network)
		if info.Device != "notebook" {
			continue
		}
		if _, err := sessions.End(r.Context(), info.ID); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("ended")
	}
	// Output:
	// /sign-in?from=notebook 200
	// /sign-in?from=phone 200
	// notebook at 192.0.2.0/24
	// ended
	// phone at 192.0.2.0/24
}

// A cookie that outlives the browser, because the user has asked for it.
func ExampleRemember() {
	sessions, err := coatcheck.New(coatcheck.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	site := sessions.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *coatcheck.Session) error {
		var options []coatcheck.SignInOption
		if r.FormValue("remember") != "" {
			options = append(options, coatcheck.Remember(30*24*time.Hour))
		}
		return s.SignIn(r.Context(), "alice", options...)
	})
	for _, path := range []string{"/sign-in", "/sign-in?remember=yes"} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", "https://shop.example"+path, nil))
		fmt.Println(path, "Max-Age:", w.Result().Cookies()[0].MaxAge)
	}
	// Output:
	// /sign-in Max-Age: 0
	// /sign-in?remember=yes Max-Age: 2592000
}
