package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

var (
	errNoSubject   = errors.New("redisstore: the subject is empty: sessions without one cannot be listed or ended by subject")
	errNoCluster   = errors.New("the server belongs to no Cluster; begin the address with redis:// instead of redis-cluster://")
	errNoSlots     = errors.New("no server of the Cluster has slots; distribute them, as redis-cli --cluster create does")
	errUnconfirmed = errors.New("written, but not confirmed by as many replicas as Options.MinReplicas asks for, so a failover may undo it; see that the replicas run and keep up")
)

// said reports whether err is an answer of the server that begins with a word.
func said(err error, words ...string) bool {
	answer, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	for _, word := range words {
		if strings.HasPrefix(answer.Error(), word) {
			return true
		}
	}
	return false
}

// passing reports whether err says that nothing was done, for a reason that
// passes: a failover, a slot on its way from one server to another, a server
// that is still starting.
func passing(err error) bool {
	if said(err, "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "NOREPLICAS", "BUSY", "MOVED", "ASK") {
		return true
	}
	return mentions(err, "non local key")
}

// mentions reports whether err is an answer of the server with a phrase in it,
// as those are that come out of scripts.
func mentions(err error, phrase string) bool {
	answer, ok := rueidis.IsRedisErr(err)
	return ok && strings.Contains(answer.Error(), phrase)
}

// unreached reports whether err says that the server was never reached.
func unreached(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && failed.Op == "dial"
}

// undone reports whether err says that nothing was done: scripts fail before
// they change anything, if they do.
func undone(err error) bool {
	_, answered := errors.AsType[*rueidis.RedisError](err)
	return answered || unreached(err)
}

const (
	// patience is how long a call goes on trying where nothing was done.
	patience = 5 * time.Second
	// dialPatience is how long where there is no server to be seen: long
	// enough for a restart, short enough not to let requests pile up.
	dialPatience = time.Second
)

// patiently calls do until it succeeds, fails for good, or patience ends.
func patiently(ctx context.Context, do func() error) error {
	began := time.Now()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := do()
		waited := time.Since(began)
		again := passing(err) && waited < patience || unreached(err) && waited < dialPatience
		if !again || !sleep(ctx, pause) {
			return err
		}
	}
}

// sleep waits and reports whether the context has let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusal is the error of the contract that a script answers with, or nil.
func refusal(answer rueidis.RedisMessage) error {
	if !answer.IsString() {
		return nil
	}
	text, err := answer.ToString()
	if err != nil {
		return nil
	}
	switch text {
	case saysNotFound:
		return store.ErrNotFound
	case saysConflict:
		return store.ErrConflict
	case saysExists:
		return store.ErrExists
	case saysLimit:
		return store.ErrLimit
	case saysEnded:
		return store.ErrSubjectEnded
	}
	return nil
}

// explainIn is explain for a call that had a context: where that has ended,
// the error says so.
func (s *Store) explainIn(ctx context.Context, name string, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return s.explain(name, err)
}

// explain turns what the client says into what there is to do.
func (s *Store) explain(name string, err error) error {
	if err == nil {
		return nil
	}
	where := strings.Join(s.target.addresses, ", ")
	advice := ""
	switch {
	case said(err, "WRONGPASS"):
		advice = "the server refuses the user or the password; compare them with its ACL or requirepass"
	case said(err, "NOAUTH"):
		advice = "the server asks for a password; put it into the address, as in redis://user:password@host, or into Options"
	case said(err, "NOPERM"), mentions(err, "user executing the script can't"):
		advice = "the server's user may not do what a store needs; docs/operations/redis.md has the rights to give it"
	case said(err, "OOM"):
		advice = "the server's memory is full; give it more by maxmemory, and the store goes on without a restart"
		if name == "create" || name == "update" {
			return fmt.Errorf("redisstore: %s: %w: %s: %w", name, store.ErrFull, advice, err)
		}
	case said(err, "MISCONF"):
		advice = "the server cannot save to its disk and takes no writes; look at its log and at the disk's free space"
	case said(err, "NOREPLICAS"):
		advice = "fewer replicas follow the primary than its min-replicas-to-write asks for; see that they run"
	case said(err, "READONLY"):
		advice = "the server is a replica; name its primary, or the Sentinels, as in redis-sentinel://host:26379/primary"
	case said(err, "No such master"):
		advice = fmt.Sprintf("the Sentinels watch no primary that they call %q; SENTINEL MASTERS tells those that they do", s.target.primary)
	case said(err, "CLUSTERDOWN"):
		advice = "the Cluster has slots that no server answers for; look at redis-cli --cluster check"
	case certificate(err):
		advice = "the server's certificate is not trusted; put the authority that signed it into Options.TLS, and name the server as the certificate does"
	case unreached(err):
		advice = fmt.Sprintf("no server answers at %s; see that it runs, and that nothing between here and there refuses", where)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		advice = fmt.Sprintf("no answer in time from %s", where)
	}
	if advice == "" {
		return fmt.Errorf("redisstore: %s: %w", name, err)
	}
	return fmt.Errorf("redisstore: %s: %s: %w", name, advice, err)
}

func certificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}
