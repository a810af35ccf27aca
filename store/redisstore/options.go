package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Options change how a store works. The zero Options, or nil, are what most
// want.
type Options struct {
	// Username and Password are for servers that ask for them, where the
	// address does not name them. Sentinels are asked with SentinelUsername
	// and SentinelPassword, none by default.
	Username, Password                 string
	SentinelUsername, SentinelPassword string

	// TLS is how to speak TLS to the servers, Sentinels included. nil: as usual
	// where the address begins with rediss:, and not at all elsewhere.
	TLS *tls.Config

	// Prefix begins every key, so that several stores, or a store and another
	// program, can use one database. Letters, digits, and any of ._- between
	// them; at most 32 characters. Empty: "cc".
	Prefix string

	// CacheBytes bounds the memory of local copies, without some 100 bytes for
	// each. 0: 64 MiB. Negative: no copies, and every Load is a round trip.
	CacheBytes int64

	// MaxStale bounds for how long a local copy may answer after the session
	// was changed elsewhere, also when this process is cut off. All processes
	// on one store must have the same: Settle waits for that long. 0: 1 second.
	// At most 2 seconds, at least 50 milliseconds.
	MaxStale time.Duration

	// MinReplicas is how many replicas must have a write before it is
	// acknowledged. Set it to the number of replicas that each primary has: a
	// failover then loses nothing that was acknowledged. 0: the primary alone.
	//
	// A Manager asks the primary after a sign-in or change whose outcome is
	// unknown, and takes what it finds there for done. So for those this is a
	// wait of a second at most for replicas, and no refusal without them.
	MinReplicas int
}

const (
	defaultPrefix     = "cc"
	defaultCacheBytes = 64 << 20
	defaultMaxStale   = time.Second
	leastMaxStale     = 50 * time.Millisecond
	mostMaxStale      = 2 * time.Second
)

var prefixes = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?$`)

// withDefaults returns the options to work with, or says what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Prefix == "" {
		opts.Prefix = defaultPrefix
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = defaultCacheBytes
	}
	if opts.MaxStale == 0 {
		opts.MaxStale = defaultMaxStale
	}
	switch {
	case !prefixes.MatchString(opts.Prefix):
		return opts, fmt.Errorf("redisstore: Prefix is %q; take letters and digits, with . _ or - between them, at most 32", opts.Prefix)
	case opts.MaxStale < leastMaxStale || opts.MaxStale > mostMaxStale:
		return opts, fmt.Errorf("redisstore: MaxStale is %v; take from %v to %v", opts.MaxStale, leastMaxStale, mostMaxStale)
	case opts.MinReplicas < 0:
		return opts, errors.New("redisstore: MinReplicas is negative; take 0 to wait for no replica")
	}
	return opts, nil
}

// kind is how the servers of a store are arranged.
type kind int

const (
	standalone kind = iota
	sentinel
	cluster
)

// target is what an address names.
type target struct {
	kind      kind
	addresses []string // of servers, or of Sentinels
	primary   string   // as the Sentinels call it
	username  string
	password  string
	database  int
	tls       bool
}

const forms = `write one of
	redis://[user:password@]host[:port][/database]
	rediss://... for the same with TLS
	redis-cluster://[user:password@]host[:port],host[:port],...
	redis-sentinel://[user:password@]host[:port],host[:port],.../primary[/database]
and add ?tls=true to the last two for TLS`

// parse reads an address. Its errors never repeat it, because of the password.
func parse(address string) (*target, error) {
	wrong := func(what string) (*target, error) {
		return nil, fmt.Errorf("redisstore: the address %s; %s", what, forms)
	}
	// Not url.Parse: it takes no list of hosts with ports.
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return wrong("has no scheme")
	}
	rest, query, _ := strings.Cut(rest, "?")
	t := new(target)
	port := "6379"
	switch scheme {
	case "redis", "rediss":
		t.tls = scheme == "rediss"
	case "redis-cluster":
		t.kind = cluster
	case "redis-sentinel":
		t.kind, port = sentinel, "26379"
	default:
		return wrong(fmt.Sprintf("begins with %q", scheme))
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		var errs [2]error
		t.username, errs[0] = url.PathUnescape(user)
		t.password, errs[1] = url.PathUnescape(password)
		if errs != [2]error{} {
			return wrong("has a user or password whose special characters are not written as %XX")
		}
		rest = rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		full, err := withPort(host, port)
		if err != nil {
			return wrong("has a host that is empty or not written as host:port")
		}
		t.addresses = append(t.addresses, full)
	}
	if t.kind == standalone && len(t.addresses) > 1 {
		return wrong("has several hosts, which only a Cluster or Sentinels have")
	}
	if t.kind == sentinel {
		if t.primary, path, _ = strings.Cut(path, "/"); t.primary == "" {
			return wrong("does not say what the Sentinels call the primary")
		}
	}
	if path != "" {
		var err error
		if t.database, err = strconv.Atoi(path); err != nil || t.database < 0 || t.kind == cluster {
			return wrong("ends in something that is no database number, or names one for a Cluster, which has only one")
		}
	}
	switch query {
	case "", "tls=false":
	case "tls=true":
		t.tls = true
	default:
		return wrong("has parameters other than tls=true; for the rest there are Options")
	}
	return t, nil
}

func withPort(host, port string) (string, error) {
	if host == "" {
		return "", errors.New("no host")
	}
	if name, given, err := net.SplitHostPort(host); err == nil {
		if name == "" || given == "" {
			return "", errors.New("no host or port")
		}
		return host, nil
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", errors.New("ambiguous")
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
}

// Times that bound how long a server is waited for.
const (
	dialTimeout = 2 * time.Second
	pingEvery   = time.Second
	// answerTimeout is when a connection without answers is given up. Local
	// copies have stopped answering long before.
	answerTimeout = 4 * time.Second
)

// retryDelay is how long the client waits before it repeats a read that has met
// a lost connection: 2 ms, twice as long each time, about dialPatience in all.
// By its own rule it would repeat a read without a deadline for ever, and Close
// would wait for that.
func retryDelay(attempts int, _ rueidis.Completed, _ error) time.Duration {
	if attempts > 9 {
		return -1 // no more
	}
	return time.Millisecond << attempts
}

// connectTo returns how to connect to the servers of a target.
func connectTo(t *target, opts *Options) rueidis.ClientOption {
	c := rueidis.ClientOption{
		InitAddress:      slices.Clone(t.addresses),
		Username:         t.username,
		Password:         t.password,
		SelectDB:         t.database,
		ClientName:       "coatcheck",
		ConnWriteTimeout: answerTimeout,
		DisableCache:     true,
		// The defaults are half a megabyte each, too much for many primaries.
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		// Waiting for replicas takes a connection for itself.
		BlockingPoolSize:    64,
		BlockingPoolCleanup: time.Minute,
		ForceSingleClient:   t.kind == standalone,
		RetryDelay:          retryDelay,
	}
	c.Dialer.Timeout, c.Dialer.KeepAlive = dialTimeout, pingEvery
	if c.Username == "" && c.Password == "" {
		c.Username, c.Password = opts.Username, opts.Password
	}
	if t.tls || opts.TLS != nil {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if opts.TLS != nil {
			c.TLSConfig = opts.TLS.Clone()
		}
	}
	switch t.kind {
	case cluster:
		c.ClusterOption.ShardsRefreshInterval = 5 * time.Second
	case sentinel:
		c.Sentinel = rueidis.SentinelOption{
			MasterSet: t.primary, Dialer: c.Dialer, TLSConfig: c.TLSConfig, ClientName: c.ClientName,
			Username: opts.SentinelUsername, Password: opts.SentinelPassword,
			TopologyRefreshInterval: 5 * time.Second,
		}
	}
	return c
}
