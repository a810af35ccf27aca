package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// aclRule is a user that the page for operators tells them to make.
func aclRule(t testing.TB, name string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)ACL SETUSER " + name + " (.*?)\n```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/operations/redis.md has no ACL SETUSER %s", name)
	}
	rule := strings.Fields(strings.ReplaceAll(string(block[1]), "\\\n", " "))
	for i, word := range rule {
		if strings.HasPrefix(word, ">") {
			rule[i] = ">secret"
		}
	}
	return rule
}

func setUser(t testing.TB, s *server, name string, rule []string) {
	t.Helper()
	if out := s.cli(t, append([]string{"acl", "setuser", name, "reset"}, rule...)...); out != "OK" {
		t.Fatalf("ACL SETUSER: %s", out)
	}
}

// useAll does everything that a store does.
func useAll(ctx context.Context, s *redisstore.Store) error {
	rec, other := newRecord("alice"), newRecord("alice")
	now := rec.Created
	changed := rec
	changed.Version, changed.Absolute = newVersion(), now.Add(100*time.Hour)
	for _, do := range []func() error{
		func() error { _, err := s.Create(ctx, rec, store.Terms{Began: now, Max: 1}, now); return err },
		func() error {
			_, err := s.Create(ctx, other, store.Terms{Began: now.Add(time.Minute), Max: 5}, now)
			return err
		},
		func() error { return s.Load(ctx, rec.ID, new(store.Record), store.Fresh) },
		func() error { return s.Update(ctx, changed, rec.Version, now) },
		func() error { return s.Touch(ctx, rec.ID, now.Add(time.Second)) },
		func() error { _, err := s.List(ctx, "alice", now); return err },
		func() error { _, err := s.Delete(ctx, rec.ID); return err },
		func() error { _, err := s.DeleteSubject(ctx, "alice", now); return err },
		func() error { _, err := s.DeleteAll(ctx, now); return err },
		func() error { _, _, err := s.Sweep(ctx, now, 10); return err },
		func() error {
			for _, err := range s.All(ctx) {
				return err
			}
			return nil
		},
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

var errNoCopies = errors.New("no record was answered from a copy")

// The kit runs as this user too: see TestKeepsTheContractOnOneServer.
func TestTheDocumentedUserMayDoWhatIsNeededAndNoMore(t *testing.T) {
	t.Parallel()
	s := start(t)
	rule := aclRule(t, "coatcheck")
	address := "redis://coatcheck:secret@" + s.address
	// Needed elsewhere: by a Cluster or Sentinels, or after something failed.
	elsewhere := []string{"+cluster|slots", "+cluster|shards", "+cluster|nodes", "+asking", "+readonly", "+eval", "+wait", "+ping", "+info"}
	try := func() error {
		s.cli(t, "flushall")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		st, err := redisstore.Open(ctx, address, &redisstore.Options{MaxStale: stale})
		if err != nil {
			return err
		}
		defer st.Close()
		if err := useAll(ctx, st); err != nil {
			return err
		}
		// Without its right to follow changes a store has no copies.
		rec := create(t, st, newRecord("bob"))
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			before := gets(t, s)
			for range 3 {
				if _, err := cached(t, st, rec.ID); err != nil {
					return err
				}
			}
			if gets(t, s) == before {
				return nil
			}
		}
		return errNoCopies
	}
	setUser(t, s, "coatcheck", rule)
	if err := try(); err != nil {
		t.Fatalf("the documented user: %v", err)
	}
	for i, right := range rule {
		if !strings.HasPrefix(right, "+") || slices.Contains(elsewhere, right) {
			continue
		}
		setUser(t, s, "coatcheck", slices.Concat(rule[:i], rule[i+1:]))
		err := try()
		if err == nil {
			t.Errorf("the documented user has the right %s without need", right)
		} else if err != errNoCopies && !strings.Contains(err.Error(), "may not do what a store needs") {
			t.Errorf("without the right %s: %v; want an error that says what to do", right, err)
		}
	}
	setUser(t, s, "coatcheck", slices.DeleteFunc(slices.Clone(rule), func(word string) bool { return word == "+info" }))
	if err := try(); err != nil {
		t.Errorf("the documented user without +info: %v; a store can do without", err)
	}
	setUser(t, s, "coatcheck", rule)
	for _, forbidden := range [][]string{{"flushall"}, {"keys", "*"}, {"get", "other"}, {"config", "get", "*"}, {"acl", "list"}} {
		out := s.cli(t, append([]string{"--no-auth-warning", "--user", "coatcheck", "--pass", "secret"}, forbidden...)...)
		if !strings.Contains(out, "NOPERM") {
			t.Errorf("the documented user may do %v: %s", forbidden, out)
		}
	}
}

// authority makes certificates for a server at 127.0.0.1.
func authority(t *testing.T) (dir string, roots *x509.CertPool) {
	t.Helper()
	dir = t.TempDir()
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for i, name := range []string{"ca", "server"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: name == "ca", BasicConstraintsValid: true,
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		if parent == nil {
			parent, parentKey = cert, key
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{
			name + ".crt": {Type: "CERTIFICATE", Bytes: der},
			name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER},
		} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name == "ca" {
			roots = x509.NewCertPool()
			if parent, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
			roots.AddCert(parent)
		}
	}
	return dir, roots
}

func TestSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir, roots := authority(t)
	secured := freePort(t)
	s := start(t, "--tls-port", secured, "--tls-cert-file", dir+"/server.crt", "--tls-key-file", dir+"/server.key",
		"--tls-ca-cert-file", dir+"/ca.crt", "--tls-auth-clients", "no")
	address := "rediss://127.0.0.1:" + secured
	st := open(t, address, &redisstore.Options{TLS: &tls.Config{RootCAs: roots}})
	if err := useAll(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	rec := create(t, st, newRecord("alice"))
	warm(t, s, st, rec.ID)
	refused(t, address, nil, "not trusted")
}

// refused opens a store that cannot be opened, and looks for the advice.
func refused(t *testing.T, address string, opts *redisstore.Options, advice string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := redisstore.Open(ctx, address, opts)
	if err == nil {
		s.Close()
		t.Errorf("Open(%q) succeeded, want an error that says %q", address, advice)
		return
	}
	if !strings.Contains(err.Error(), advice) {
		t.Errorf("Open(%q): %v; want an error that says %q", address, err, advice)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells the password: %v", err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := start(t, "--requirepass", "hunter3")
	evicting := start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	alone := start(t, "--cluster-enabled", "yes")
	replica := start(t, "--replicaof", "127.0.0.1 "+s.port)
	for _, c := range []struct{ name, address, advice string }{
		{"no password", "redis://" + s.address, "put it into the address"},
		{"wrong password", "redis://:hunter2@" + s.address, "refuses the user or the password"},
		{"nobody there", "redis://127.0.0.1:" + freePort(t), "no server answers at 127.0.0.1"},
		{"evicting", "redis://" + evicting.address, "set it to noeviction"},
		{"no Cluster", "redis-cluster://" + evicting.address, "begin the address with redis://"},
		{"a Cluster", "redis://" + alone.address, "begin the address with redis-cluster://"},
		{"a Cluster without slots", "redis-cluster://" + alone.address, "distribute them"},
		{"a replica", "redis://" + replica.address, "is a replica"},
		{"no scheme", "localhost:6379", "has no scheme"},
		{"another scheme", "http://localhost:6379", `begins with "http"`},
		{"several servers", "redis://a,b", "only a Cluster or Sentinels"},
		{"no primary's name", "redis-sentinel://localhost", "what the Sentinels call the primary"},
		{"no number", "redis://localhost/sessions", "no database number"},
		{"a Cluster's database", "redis-cluster://localhost/1", "no database number"},
		{"a parameter", "redis://localhost?pool=9", "has parameters"},
		{"a host without a name", "redis://:6379", "a host that is empty"},
		{"a percent sign", "redis://u:hunter2%@localhost", "not written as %XX"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.address, nil, c.advice) })
	}
	for _, c := range []struct {
		name   string
		opts   redisstore.Options
		advice string
	}{
		{"prefix", redisstore.Options{Prefix: "a*"}, "Prefix"},
		{"stale for long", redisstore.Options{MaxStale: time.Minute}, "MaxStale"},
		{"replicas", redisstore.Options{MinReplicas: -1}, "MinReplicas"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, "redis://"+s.address, &c.opts, c.advice) })
	}
}

func TestAContextBoundsOpen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := redisstore.Open(ctx, "redis://"+l.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("Open of a server that says nothing: %v", err)
	}
}

func TestFullMemoryIsErrFullAndPasses(t *testing.T) {
	t.Parallel()
	s := start(t, "--maxmemory-policy", "noeviction")
	st := open(t, "redis://"+s.address, nil)
	rec := create(t, st, newRecord("alice"))
	s.cli(t, "config", "set", "maxmemory", "1mb")
	_, err := st.Create(t.Context(), newRecord("alice"), store.Terms{}, time.Now())
	if !named(err) || !strings.Contains(err.Error(), "maxmemory") {
		t.Errorf("Create in full memory: %v; want ErrFull and what to do", err)
	}
	if ended, err := st.DeleteSubject(t.Context(), "alice", time.Now()); err != nil || len(ended) != 1 {
		t.Errorf("DeleteSubject in full memory: %v, %v", ended, err)
	}
	s.cli(t, "config", "set", "maxmemory", "0")
	if _, err := st.Create(t.Context(), rec, store.Terms{}, time.Now()); err != nil {
		t.Errorf("Create when there is room again: %v", err)
	}
}

// What does not grow needs no room, and neither do marks that are small.
func TestFullMemoryKeepsNobodyFromEndingAndTouching(t *testing.T) {
	t.Parallel()
	s := start(t)
	st := open(t, "redis://"+s.address, nil)
	rec := create(t, st, newRecord("alice"))
	s.cli(t, "config", "set", "maxmemory", "1mb")
	if err := st.Touch(t.Context(), rec.ID, rec.LastSeen.Add(time.Second)); err != nil {
		t.Errorf("Touch: %v", err)
	}
	was := rec.Version
	rec.Version = newVersion()
	if err := st.Update(t.Context(), rec, was, time.Now()); err != nil {
		t.Errorf("Update to the same size: %v", err)
	}
	larger := rec
	larger.Version, larger.Data = newVersion(), make([]byte, 10<<10)
	if err := st.Update(t.Context(), larger, rec.Version, time.Now()); !errors.Is(err, store.ErrFull) {
		t.Errorf("Update to a larger size: %v, want ErrFull", err)
	}
	if _, err := st.DeleteSubject(t.Context(), "bob", time.Now()); err != nil {
		t.Errorf("DeleteSubject of a subject without sessions: %v", err)
	}
	if n, err := st.DeleteAll(t.Context(), time.Now()); n != 1 || err != nil {
		t.Errorf("DeleteAll: %d, %v; want 1", n, err)
	}
}
