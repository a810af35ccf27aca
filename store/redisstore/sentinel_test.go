package redisstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/redisstore"
)

// sentinels starts a primary, two replicas and three Sentinels that watch them.
func sentinels(t *testing.T) (servers []*server, address string) {
	t.Helper()
	primary := start(t, "--repl-diskless-sync-delay", "0")
	servers = append(servers, primary)
	for range 2 {
		servers = append(servers, start(t, "--replicaof", "127.0.0.1 "+primary.port, "--repl-diskless-sync-delay", "0"))
	}
	var hosts []string
	for i := range 3 {
		s := &server{port: freePort(t), dir: t.TempDir()}
		s.address = "127.0.0.1:" + s.port
		config := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nlogfile %s/log\nsentinel monitor coats 127.0.0.1 %s 2\n"+
			"sentinel down-after-milliseconds coats 1500\nsentinel failover-timeout coats 5000\n", s.port, s.dir, s.dir, primary.port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.launch(t, program(t, "redis-server"), config, "--sentinel")
		setUser(t, s, "lookout", aclRule(t, "lookout"))
		hosts = append(hosts, s.address)
		if i < 2 {
			continue
		}
		eventually(t, "the Sentinels know all", func() bool {
			out := s.cli(t, "sentinel", "master", "coats")
			return strings.Contains(out, "num-slaves\n2") && strings.Contains(out, "num-other-sentinels\n2") &&
				strings.Count(primary.cli(t, "info", "replication"), "state=online") == 2
		})
	}
	return servers, "redis-sentinel://" + strings.Join(hosts, ",") + "/coats"
}

func TestFollowsTheSentinels(t *testing.T) {
	if testing.Short() {
		return // takes a quarter of a minute
	}
	servers, address := sentinels(t)
	for _, s := range servers {
		setUser(t, s, "coatcheck", aclRule(t, "coatcheck"))
	}
	// All replicas confirm: whichever takes over has everything.
	user := redisstore.Options{Username: "coatcheck", Password: "secret", SentinelUsername: "lookout", SentinelPassword: "secret"}
	confirmed := user
	confirmed.MinReplicas = 2
	s, b := open(t, address, &confirmed), open(t, address, &user)
	rec, ended := create(t, s, newRecord("alice")), create(t, s, newRecord("bob"))
	for range 50 {
		for _, id := range []store.ID{rec.ID, ended.ID} {
			if _, err := cached(t, b, id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := s.Delete(t.Context(), ended.ID); err != nil {
		t.Fatal(err)
	}
	servers[0].kill()
	recovered(t, b)
	if got, err := cached(t, b, rec.ID); err != nil || got.Version != rec.Version {
		t.Errorf("after the failover: version %d, %v; want %d", got.Version, err, rec.Version)
	}
	if _, err := cached(t, b, ended.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session that was ended before the failover: %v", err)
	}
	next := servers[1]
	if next.role(t) != "master" {
		next = servers[2]
	}
	warm(t, next, b, rec.ID)
	// With one replica left, two cannot confirm.
	other := newRecord("carol")
	if _, err := s.Create(t.Context(), other, store.Terms{}, other.Created); err == nil || named(err) {
		t.Errorf("Create that one of two replicas confirms: %v; want an error that says that the outcome is unknown", err)
	}
	refused(t, strings.TrimSuffix(address, "coats")+"hats", &user, "hats")
}
