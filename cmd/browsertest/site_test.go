package browsertest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo"
	"github.com/coatcheck/coatcheck/store"
)

// The names that lead to the servers of a test. The demo is at shopHost and at
// localhost; the others have only what a test puts there.
const (
	shopHost    = "shop.site.test"
	belowHost   = "below.shop.site.test" // a host below the shop's
	siblingHost = "other.site.test"      // same site, another origin
	evilHost    = "evil.test"            // another site
)

// clock is the server's. It goes as fast as any other, and jumps when a test
// says so.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// site is the demo with what a test needs around it.
type site struct {
	t     *testing.T
	demo  *demo.Site
	clock *clock
	key   string // of the certificate, as Chromium wants to hear it

	secure, plain string // ports of TLS and of HTTP
	// extra has the routes of the test, with the host where they are not the
	// shop's. They come before the demo's own.
	extra *http.ServeMux
	seen  requestLog
}

// opening says what is different from the demo as it comes.
type opening struct {
	store store.Store
	// noHSTS leaves out the header by which a browser that was here once uses
	// no plain HTTP any more: what is tested is the cookie, not that.
	noHSTS bool
}

// openSite serves the demo until the test ends.
func openSite(t *testing.T, how opening) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{}, extra: http.NewServeMux()}
	var err error
	s.demo, err = demo.New(demo.Options{Store: how.store, Now: s.clock.Now, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	handler := http.Handler(http.HandlerFunc(s.serve))
	if how.noHSTS {
		handler = withoutHSTS(handler)
	}
	certificate, key := certified(t, shopHost, belowHost, siblingHost, evilHost)
	s.key = key
	secure := httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	secure.EnableHTTP2 = true
	plain := httptest.NewUnstartedServer(handler)
	for _, server := range []*httptest.Server{secure, plain} {
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // connections that a browser opened and never used
		t.Cleanup(server.Close)
	}
	secure.StartTLS()
	plain.Start()
	t.Cleanup(s.demo.Close)
	s.secure, s.plain = portOf(t, secure), portOf(t, plain)
	return s
}

// shop, below, sibling, evil and local are addresses over TLS, but for local;
// overPlainHTTP makes the same of them without.
func (s *site) shop(path string) string    { return s.at(shopHost, path) }
func (s *site) below(path string) string   { return s.at(belowHost, path) }
func (s *site) sibling(path string) string { return s.at(siblingHost, path) }
func (s *site) evil(path string) string    { return s.at(evilHost, path) }
func (s *site) local(path string) string   { return "http://localhost:" + s.plain + path }

func (s *site) at(host, path string) string { return "https://" + host + ":" + s.secure + path }

func (s *site) overPlainHTTP(address string) string {
	return strings.Replace(strings.Replace(address, "https://", "http://", 1), ":"+s.secure, ":"+s.plain, 1)
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.seen.add(r)
	host, _, _ := strings.Cut(r.Host, ":")
	if _, pattern := s.extra.Handler(r); pattern != "" {
		s.extra.ServeHTTP(w, r)
	} else if host == shopHost || host == "localhost" {
		s.demo.ServeHTTP(w, r)
	} else {
		answerPage(w, "<h1>"+host+"</h1>")
	}
}

// answerPage answers with a page of a test.
func answerPage(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, `<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,">`+body)
}

// request is one that arrived.
type request struct {
	secure     bool
	host, path string
	cookies    []string // names
	fetchedBy  string   // Sec-Fetch-Site
}

type requestLog struct {
	mu  sync.Mutex
	all []request
}

func (l *requestLog) add(r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	arrived := request{secure: r.TLS != nil, host: host, path: r.URL.Path, fetchedBy: r.Header.Get("Sec-Fetch-Site")}
	for _, cookie := range r.Cookies() {
		arrived.cookies = append(arrived.cookies, cookie.Name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, arrived)
}

// of returns the requests for that address, whatever its query.
func (l *requestLog) of(t *testing.T, address string) []request {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.all), func(r request) bool {
		return r.host != at.Hostname() || r.path != at.Path || r.secure != (at.Scheme == "https")
	})
}

// last returns the latest request for that address.
func (l *requestLog) last(t *testing.T, address string) request {
	t.Helper()
	all := l.of(t, address)
	if len(all) == 0 {
		t.Fatalf("no request for %s arrived", address)
	}
	return all[len(all)-1]
}

func withoutHSTS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&hstsDropper{ResponseWriter: w}, r)
	})
}

type hstsDropper struct {
	http.ResponseWriter
	wrote bool
}

func (d *hstsDropper) WriteHeader(status int) {
	d.wrote = d.wrote || status >= 200
	d.Header().Del("Strict-Transport-Security")
	d.ResponseWriter.WriteHeader(status)
}

func (d *hstsDropper) Write(text []byte) (int, error) {
	if !d.wrote {
		d.WriteHeader(http.StatusOK)
	}
	return d.ResponseWriter.Write(text)
}

func (d *hstsDropper) Unwrap() http.ResponseWriter { return d.ResponseWriter }

func portOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// certified returns a certificate for the hosts, signed by an authority made
// for it, and the hash of its key.
func certified(t *testing.T, hosts ...string) (tls.Certificate, string) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "The tests' authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, leafKey := newKey(t), newKey(t)
	authorityDER := signed(t, authority, authority, authorityKey, authorityKey)
	leafDER := signed(t, leaf, authority, leafKey, authorityKey)
	public, err := x509.MarshalPKIXPublicKey(leafKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(public)
	return tls.Certificate{Certificate: [][]byte{leafDER, authorityDER}, PrivateKey: leafKey}, base64.StdEncoding.EncodeToString(hash[:])
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t *testing.T, what, by *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, what, by, key.Public(), signer)
	if err != nil {
		t.Fatal(fmt.Errorf("sign a certificate: %w", err))
	}
	return der
}
